"""Make the advisory snapshot that ships with the package: facts only, small, the same bytes from the same records.

Run it by hand, with one OSV file (JSON lines, with or without gzip) for each ecosystem, and the list of names:

    python scripts/make_advisory_snapshot.py --pypi pypi.osv.jsonl.gz --npm npm.osv.jsonl.gz --names pypi.txt

What stays of a record: ids, aliases, packages, ranges, versions, severities, dates. What goes: all prose and all
references. A listed version that a range of its record covers goes too, because matching answers the same without it;
the script checks that for every record before it writes anything. Of the names, those stay that a Python package can
have, in their canonical form; what cannot be a name (files of the project they come from) goes.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from packaging.utils import canonicalize_name
from skillyard.governance.advisories.formats import is_name
from skillyard.governance.advisories.index_format import advisory_row
from skillyard.governance.advisories.intervals import listed_form
from skillyard.governance.advisories.match import compact
from skillyard.governance.advisories.osv import ORDERED_RANGES, parse_record
from skillyard.governance.advisories.records import RawRecord, read_lines, read_records
from skillyard.governance.advisories.source import RecordKind
from skillyard.governance.advisories.sources import SNAPSHOT
from skillyard.skills.skill import Ecosystem


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the records of one ecosystem come from, and of when they are."""

    ecosystem: Ecosystem
    file: str
    project: str
    license: str
    date: str


ORIGINS = (
    Origin(Ecosystem.PYPI, "pypi.osv.jsonl.gz", "pypa/advisory-database", "CC-BY-4.0", "2024-10-10"),
    Origin(Ecosystem.NPM, "npm.osv.jsonl.gz", "nodejs/security-wg", "MIT", "2026-04-08"),
)
NAMES = Origin(Ecosystem.PYPI, "pypi.malicious-names.txt.gz", "lxyeternal/pypi_malregistry", "facts", "2026-06-14")
HONEST = frozenset({"ctx"})
"""Names of packages that people maintain, of which single releases were malicious once: those are for advisories to
name, version by version. ``ctx`` was taken over in May 2022 (PYSEC-2022-199)."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the embedded advisory snapshot.")
    for origin in ORIGINS:
        parser.add_argument(
            f"--{origin.ecosystem.value}", type=Path, required=True, help=f"records of {origin.project}"
        )
    parser.add_argument("--names", type=Path, required=True, help=f"names listed by {NAMES.project}")
    parser.add_argument("--into", type=Path, default=SNAPSHOT)
    arguments = parser.parse_args()
    sources = []
    for origin in ORIGINS:
        lines = sorted(slimmed(read_records(getattr(arguments, origin.ecosystem.value))))
        (arguments.into / origin.file).write_bytes(packed(lines))
        sources.append(described(origin, lines))
        sys.stdout.write(
            f"{origin.file}: {len(lines)} records, {(arguments.into / origin.file).stat().st_size} bytes\n"
        )
    names = sorted(listed(arguments.names))
    (arguments.into / NAMES.file).write_bytes(packed(names))
    sources.append(described(NAMES, names))
    sys.stdout.write(f"{NAMES.file}: {len(names)} names, {(arguments.into / NAMES.file).stat().st_size} bytes\n")
    contents = orjson.dumps({"sources": sources}, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    (arguments.into / "snapshot.json").write_bytes(contents + b"\n")
    return 0


def listed(path: Path) -> set[bytes]:
    """The canonical names of a list that are names at all, without those that mean an honest package too."""
    written = (line.data.decode() for line in read_lines(path))
    names = {canonicalize_name(name) for name in written if is_name(Ecosystem.PYPI, name)}
    return {name.encode() for name in names - HONEST}


def slimmed(records: Iterable[RawRecord]) -> Iterator[bytes]:
    """Every record without its prose, as one line each; fails where matching would answer differently."""
    for raw in records:
        line = orjson.dumps(facts(orjson.loads(raw.data)), option=orjson.OPT_SORT_KEYS)
        full = parse_record(raw.data, source=raw.source, line=raw.line)
        slim = parse_record(line, source=raw.source, line=raw.line)
        rows = [[advisory_row(compact(one), "") for one in side] for side in (full, slim)]
        if rows[0] != rows[1]:
            raise SystemExit(f"{raw.source}:{raw.line}: the facts alone would match differently")
        yield line


def facts(record: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: record[key] for key in ("id", "modified", "published", "withdrawn", "severity") if key in record}
    if record.get("aliases"):
        kept["aliases"] = sorted(record["aliases"])
    kept["affected"] = [affected_facts(record, entry) for entry in record["affected"]]
    return kept


def affected_facts(record: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    package = {key: entry["package"][key] for key in ("ecosystem", "name")}
    kept: dict[str, Any] = {"package": package}
    if "severity" in entry:
        kept["severity"] = entry["severity"]
    ranges = [{"type": one["type"], "events": one["events"]} for one in entry.get("ranges", ())]
    if ordered := [one for one in ranges if one["type"] in ORDERED_RANGES]:
        kept["ranges"] = ordered
    if versions := uncovered({**record, "affected": [entry]}):
        kept["versions"] = [version for version in entry["versions"] if version in versions]
    return kept


def uncovered(record: Mapping[str, Any]) -> frozenset[str]:
    """The listed versions, as written, that no range of the one entry covers."""
    (advisory,) = parse_record(orjson.dumps(record), source=record["id"])
    listed = record["affected"][0].get("versions", ())
    kept = compact(advisory).versions
    spans = frozenset(
        version for version in listed if listed_form(advisory.ecosystem, version) not in advisory.versions
    )
    return spans | frozenset(version for version in listed if listed_form(advisory.ecosystem, version) in kept)


def packed(lines: Iterable[bytes]) -> bytes:
    """Gzip without name and time, so that the same records give the same bytes."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, compresslevel=9, mtime=0) as file:
        file.writelines(line + b"\n" for line in lines)
    return buffer.getvalue()


def described(origin: Origin, lines: list[bytes]) -> dict[str, Any]:
    digest = hashlib.sha256(b"".join(line + b"\n" for line in lines)).hexdigest()
    return {
        "date": origin.date,
        "ecosystem": origin.ecosystem.value,
        "file": origin.file,
        "kind": (RecordKind.NAMES if origin is NAMES else RecordKind.ADVISORIES).value,
        "license": origin.license,
        "project": origin.project,
        "records": len(lines),
        "sha256": digest,
    }


if __name__ == "__main__":
    raise SystemExit(main())
