"""What the transaction that admits a call checks of its workspace's quotas, as statements for both databases.

Without such a quota an admission costs nothing more: calls carry no limits, and nothing is counted. With one, the count
is a row that is read and raised in one conditional statement inside that transaction, so it is exact
whatever process admits. The limits come from the view that the call was decided on; the epoch, which every change of a
quota raises, says whether they still hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from skillyard.governance.quotas import CallLimits, CallQuotaExceededError, CallSpan, Quota
from skillyard.ids import WorkspaceId

COUNT_CALL = """
UPDATE call_counts SET calls = CASE WHEN number < $3 THEN 1 ELSE calls + 1 END,
number = CASE WHEN number < $3 THEN $3 ELSE number END
WHERE workspace_id = $1 AND span = $2 AND CAST($4 AS BIGINT) > 0 AND (number < $3 OR calls < CAST($4 AS BIGINT))
RETURNING calls
"""
"""Parameters: workspace, span, number of the span, limit. Changes and returns no row where there is no room."""

CALLS_COUNTED = "SELECT number, calls FROM call_counts WHERE workspace_id = $1 AND span = $2"

# The plus keeps both planners from walking through all calls of the workspace: few calls are open.
OPEN_CALLS = "SELECT count(*) FROM invocations WHERE +workspace_id = $1 AND state = 'accepted'"

_SOON = 1.0
"""Seconds: a call that ends makes room at once, and nobody knows when one will."""


@dataclass(frozen=True, slots=True)
class Counting:
    """One count that an admission raises: the parameters of ``COUNT_CALL``."""

    workspace: WorkspaceId
    span: CallSpan
    number: int
    limit: int

    @property
    def parameters(self) -> tuple[int, str, int, int]:
        return self.workspace, self.span.value, self.number, self.limit

    def refusal(self, counted: tuple[int, int] | None, at: datetime) -> CallQuotaExceededError:
        """What a call gets that is not counted; ``counted`` is the row of ``CALLS_COUNTED``."""
        number, calls = counted or (self.number, 0)
        number, used = (self.number, 0) if number < self.number else (number, calls)
        wait = (self.span.start(number + 1) - at).total_seconds()
        return CallQuotaExceededError(self.span.quota, limit=self.limit, used=used, retry_after=max(wait, _SOON))


def countings(workspace: WorkspaceId, limits: CallLimits, at: datetime) -> Iterator[Counting]:
    for span, limit in limits.per_span:
        yield Counting(workspace, span, span.number(at), limit)


def require_open_room(limits: CallLimits, opened: int) -> None:
    """Raises ``CallQuotaExceededError`` where as many calls are open as may be."""
    if limits.at_once is not None and opened >= limits.at_once:
        raise CallQuotaExceededError(Quota.CONCURRENT_CALLS, limit=limits.at_once, used=opened, retry_after=_SOON)
