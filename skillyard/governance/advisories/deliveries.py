"""What a delivery becomes: the datasets that its records make, their dates and places. Decides, and builds nothing.

Where records go decides what a date means. An ecosystem's *base* is the data that its date stands for. A delivery
becomes the base where there is none, or where it holds at least half as many records as the base does; a smaller one (a
company's own advisories, say) is *added* under its source's name and changes no date, so that one fresh record never
makes old data look fresh. A list of names is always added. A base whose own source shrinks by more than half is
refused, and so is a large addition: that is what a truncated download looks like, and an advisory that is not there
makes a package look clean.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from skillyard.governance.advisories.index import IndexStatus
from skillyard.governance.advisories.index_format import BASE, NAMES_LAYER, Dataset, DateBasis, Supplied
from skillyard.governance.advisories.intake import Intake
from skillyard.governance.advisories.source import RecordKind, RecordSet
from skillyard.governance.errors import AdvisorySourceError
from skillyard.skills.skill import Ecosystem

_GUARDED: Final = 100
"""Records of an addition from which on it may not shrink by more than half; a few of one's own come and go."""

Counts = Mapping[Ecosystem, tuple[int, int]]
"""For each ecosystem, how many records and how many advisories about its packages were read."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one source delivered, and how it is to be taken."""

    source: str
    sets: tuple[RecordSet, ...]
    validator: str | None
    replace: bool
    """Take the records as the base whatever their number."""
    now: datetime
    kept_bases: frozenset[Ecosystem] = frozenset()
    """Ecosystems whose base another source of the same update is: what comes here is added to it."""


class Placing:
    """Decides about one delivery, against what the index held before. Raises ``AdvisorySourceError`` for a refusal."""

    def __init__(self, delivery: Delivery, before: IndexStatus | None) -> None:
        self._delivery = delivery
        self._before = before.datasets if before is not None else ()
        self._supplied = before.supplied if before is not None else ()

    def advisories(self, records: RecordSet, counts: Counts, intake: Intake) -> Iterator[Dataset]:
        for ecosystem in sorted(self._covered(records, counts, intake)):
            held, advisories = counts[ecosystem]
            if records.changes:
                yield self._changed(records, intake, ecosystem)
                continue
            date, basis = self._date(records, intake.newest[ecosystem])
            yield Dataset(
                ecosystem=ecosystem,
                layer=self._layer(ecosystem, held),
                source=self._delivery.source,
                data_date=date,
                date_basis=basis,
                records=held,
                advisories=advisories,
                sha256=intake.sha256,
                validator=self._delivery.validator,
                imported_at=self._delivery.now,
            )

    def names(self, records: RecordSet) -> Dataset:
        """The dataset of a list of names, before any name was read."""
        if records.ecosystems is None or len(records.ecosystems) != 1:
            raise self._refusal("is a list of names, which does not say of which ecosystem they are; name one")
        (ecosystem,) = records.ecosystems
        # A list's date makes no other data look fresh, so a clock that is behind it does no harm.
        date = min(records.data_date or self._delivery.now, self._delivery.now)
        return Dataset(
            ecosystem=ecosystem,
            layer=NAMES_LAYER + self._delivery.source,
            source=self._delivery.source,
            data_date=date.astimezone(UTC),
            date_basis=DateBasis.IMPORTED if records.data_date is None else DateBasis.DECLARED,
            records=0,
            advisories=0,
            sha256="",
            validator=self._delivery.validator,
            imported_at=self._delivery.now,
        )

    def read_names(self, dataset: Dataset, intake: Intake) -> Dataset:
        """The dataset of a list of names that was read."""
        if not intake.records:
            raise self._refusal("holds no names")
        self._require_not_shrunk(dataset.ecosystem, dataset.layer, "names", intake.records)
        return replace(dataset, records=intake.records, advisories=intake.records, sha256=intake.sha256)

    def supplied(self, records: RecordSet, kind: RecordKind, intake: Intake, found_date: datetime | None) -> Supplied:
        date = records.data_date or found_date
        if date is None:
            raise self._refusal("does not say of when it is, and nobody did")
        before = next((one.records for one in self._supplied if one.kind is kind), 0)
        if before >= _GUARDED:
            self._require_most_of(before, intake.records, kind.value)
        return Supplied(
            kind=kind,
            source=self._delivery.source,
            data_date=self._not_in_the_future(date),
            records=intake.records,
            sha256=intake.sha256,
            validator=self._delivery.validator,
            imported_at=self._delivery.now,
        )

    def _covered(self, records: RecordSet, counts: Counts, intake: Intake) -> frozenset[Ecosystem]:
        """The ecosystems that the records are the data of.

        An export of one ecosystem also holds records that name packages of others; those few are not the other's data.
        So where every record names one ecosystem, that one is covered; where none is named by all, all are.
        """
        if records.ecosystems is not None:
            absent = records.ecosystems - counts.keys()
            if absent or not records.ecosystems:
                raise self._refusal(f"holds no advisory about {', '.join(sorted(absent)) or 'any ecosystem'} packages")
            return records.ecosystems
        if not counts:
            raise self._refusal("holds no advisory about a PyPI or npm package")
        everywhere = frozenset(one for one, (held, _) in counts.items() if held == intake.records)
        return everywhere or frozenset(counts)

    def _base(self, ecosystem: Ecosystem) -> Dataset | None:
        return next((one for one in self._before if one.ecosystem is ecosystem and one.is_base), None)

    def _layer(self, ecosystem: Ecosystem, held: int) -> str:
        base, source = self._base(ecosystem), self._delivery.source
        if base is None:
            return BASE
        if base.source == source:
            self._require_most_of(base.records, held, f"{ecosystem.value} records")
            return BASE
        if ecosystem not in self._delivery.kept_bases and (self._delivery.replace or held * 2 >= base.records):
            return BASE
        self._require_not_shrunk(ecosystem, source, f"{ecosystem.value} records", held)
        return source

    def _changed(self, records: RecordSet, intake: Intake, ecosystem: Ecosystem) -> Dataset:
        """What the source brought before, otherwise the base, with changes in it.

        The date moves only when somebody says that these are all the changes up to then.
        """
        held = [one for one in self._before if (one.ecosystem, one.kind) == (ecosystem, RecordKind.ADVISORIES)]
        own = next((one for one in held if one.source == self._delivery.source), None)
        changed = own or self._base(ecosystem)
        if changed is None:
            raise self._refusal(f"holds changes, and there is no {ecosystem.value} data that they could be changes of")
        date = changed.data_date if records.data_date is None else self._not_in_the_future(records.data_date)
        return replace(
            changed,
            data_date=max(changed.data_date, date),
            sha256=hashlib.sha256(f"{changed.sha256}\n{intake.sha256}".encode()).hexdigest(),
            validator=changed.validator if own is None else self._delivery.validator,
            imported_at=self._delivery.now,
        )

    def _date(self, records: RecordSet, newest: datetime) -> tuple[datetime, DateBasis]:
        """The date of the data. A record dated in the future must not keep an index fresh, so ``now`` is the latest."""
        if records.data_date is None:
            return min(newest, self._delivery.now).astimezone(UTC), DateBasis.NEWEST_RECORD
        return self._not_in_the_future(records.data_date), DateBasis.DECLARED

    def _not_in_the_future(self, date: datetime) -> datetime:
        if date > self._delivery.now:
            raise self._refusal(f"is dated in the future: {date.isoformat()}")
        return date.astimezone(UTC)

    def _require_not_shrunk(self, ecosystem: Ecosystem, layer: str, what: str, held: int) -> None:
        for one in self._before:
            if (one.ecosystem, one.layer) == (ecosystem, layer) and one.records >= _GUARDED:
                self._require_most_of(one.records, held, what)

    def _require_most_of(self, before: int, held: int, what: str) -> None:
        if held * 2 < before and not self._delivery.replace:
            raise self._refusal(f"has shrunk from {before} to {held} {what}; replace it only if that is meant")

    def _refusal(self, message: str) -> AdvisorySourceError:
        return AdvisorySourceError(message, source=self._delivery.source)
