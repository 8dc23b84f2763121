"""How much of an instance one workspace may use: the quotas as values, and what going over one raises.

A quota that a workspace has of its own counts over all server processes where a call or a change is recorded; see
``docs/concepts/workspaces.md`` for what each one counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from skillyard.errors import InputError
from skillyard.governance.errors import GovernanceError
from skillyard.skills.permissions import MIB
from skillyard.times import in_utc

MOST = 2**53 - 1
"""The largest limit: the largest integer that every JSON reader keeps exactly (RFC 8259, section 6)."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Quota(StrEnum):
    """What can be limited. Sizes are bytes."""

    CALLS_PER_MINUTE = "calls_per_minute"
    CALLS_PER_DAY = "calls_per_day"
    CONCURRENT_CALLS = "concurrent_calls"
    """Calls that are admitted and have not ended."""
    SANDBOXES = "sandboxes"
    SANDBOX_MEMORY = "sandbox_memory_bytes"
    STORAGE = "storage_bytes"
    """Bundles of installed versions, and files of calls that are kept."""
    AGENTS = "agents"
    SKILLS = "skills"


LEAST: Mapping[Quota, int] = {Quota.CONCURRENT_CALLS: 1, Quota.SANDBOXES: 1, Quota.SANDBOX_MEMORY: 64 * MIB}
"""The smallest limits. Others may be zero: nothing more is let in, and nothing that is there is taken away."""


class CallSpan(StrEnum):
    """What calls are counted in: a minute or a day of UTC, each beginning anew."""

    MINUTE = "minute"
    DAY = "day"

    @property
    def quota(self) -> Quota:
        return Quota.CALLS_PER_MINUTE if self is CallSpan.MINUTE else Quota.CALLS_PER_DAY

    def number(self, moment: datetime) -> int:
        """Which minute or day since 1970 a moment is in."""
        return int((in_utc(moment) - _EPOCH) // self._length)

    def start(self, number: int) -> datetime:
        return _EPOCH + number * self._length

    @property
    def _length(self) -> timedelta:
        return timedelta(minutes=1) if self is CallSpan.MINUTE else timedelta(days=1)


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What the admission of a call checks, in the transaction that admits it."""

    per_span: tuple[tuple[CallSpan, int], ...] = ()
    at_once: int | None = None


@dataclass(frozen=True, slots=True)
class Quotas:
    """A workspace's own quotas; what is not in ``limits`` has none."""

    limits: Mapping[Quota, int] = field(default_factory=dict)

    def of(self, quota: Quota) -> int | None:
        return self.limits.get(quota)

    @property
    def calls(self) -> CallLimits | None:
        """``None`` where nothing about calls is limited, so that their admission counts nothing."""
        spans = tuple((span, self.limits[span.quota]) for span in CallSpan if span.quota in self.limits)
        at_once = self.of(Quota.CONCURRENT_CALLS)
        return CallLimits(spans, at_once) if spans or at_once is not None else None

    def changed(self, wanted: Mapping[Quota, int | None]) -> Quotas:
        """With the named ones set, or taken away by ``None``. Raises ``InputError`` for a limit that cannot be."""
        for quota, limit in wanted.items():
            least = LEAST.get(quota, 0)
            if limit is not None and not least <= limit <= MOST:
                raise InputError(f"a limit from {least} to {MOST} is needed", field=quota.value)
        kept = {quota: limit for quota, limit in self.limits.items() if quota not in wanted}
        return Quotas(kept | {quota: limit for quota, limit in wanted.items() if limit is not None})


NO_QUOTAS = Quotas()


class QuotaExceededError(GovernanceError):
    """The workspace may not use more of something; an operator may raise the quota.

    ``used`` is what was in use when it was refused, without what was asked for; ``wanted`` is that.
    """

    code = "quota_exceeded"
    retry_after: float | None = None
    """Seconds after which it makes sense to try again, where time alone heals it."""

    def __init__(self, quota: Quota, *, limit: int, used: int, wanted: int = 1) -> None:
        self.quota = quota
        self.limit = limit
        self.used = used
        self.wanted = wanted
        super().__init__(
            f"the workspace's quota {quota.value} is {limit}: {used} in use, and {wanted} more wanted; "
            "an operator can raise it"
        )


class CallQuotaExceededError(QuotaExceededError):
    """The workspace has made as many calls as it may for now."""

    def __init__(self, quota: Quota, *, limit: int, used: int, retry_after: float) -> None:
        super().__init__(quota, limit=limit, used=used)
        self.retry_after = retry_after


def require_room(quotas: Quotas, quota: Quota, *, used: int, wanted: int = 1) -> None:
    """Raises ``QuotaExceededError`` where a quota does not leave room for what is wanted."""
    limit = quotas.of(quota)
    if limit is not None and used + wanted > limit:
        raise QuotaExceededError(quota, limit=limit, used=used, wanted=wanted)
