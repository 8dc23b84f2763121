"""What the runtime refuses, apart from what its rooms refuse."""

from __future__ import annotations

from skillyard.errors import ConflictError, SkillyardError
from skillyard.governance.decision import Reason
from skillyard.governance.report import Report


class RuntimeRefusalError(SkillyardError):
    """The runtime refused to do something."""

    code = "refused"


class QueueError(RuntimeRefusalError):
    """Too many calls wait for too few sandboxes. ``retry_after`` seconds is how long those that wait will take, by the
    pace at which calls ended lately; ``None`` where too few did."""

    code = "queue"

    def __init__(self, message: str, *, retry_after: float | None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class QueueFullError(QueueError):
    """Too many calls wait for a sandbox already; try again later."""

    code = "queue_full"

    def __init__(self, *, waiting: int, retry_after: float | None) -> None:
        self.waiting = waiting
        super().__init__(f"{waiting} calls wait for a sandbox already; try again later", retry_after=retry_after)


class QueueTimeoutError(QueueError):
    """No sandbox became free for this call in time, so that it never ran; try again later."""

    code = "queue_timeout"

    def __init__(self, *, limit: float, retry_after: float | None) -> None:
        self.limit = limit
        super().__init__(f"no sandbox became free within {limit:g} s; try again later", retry_after=retry_after)


class SandboxTooLargeError(RuntimeRefusalError):
    """One sandbox of this skill is granted more memory than all of them may have together."""

    code = "sandbox_too_large"

    def __init__(self, *, needed: int, cap: int) -> None:
        self.needed = needed
        self.cap = cap
        super().__init__(
            f"the skill's sandbox is granted {needed // 2**20} MiB of memory, and sandboxes may have "
            f"{cap // 2**20} MiB together; raise max_sandbox_memory_mib or lower skill_memory_max_mib"
        )


class ShuttingDownError(RuntimeRefusalError):
    """The server is stopping and takes no more calls."""

    code = "shutting_down"


class VersionStoppedError(RuntimeRefusalError):
    """The skill version was stopped (a ban, a new advisory, a removal) before this call could run in it."""

    code = "version_stopped"


class VersionExistsError(ConflictError):
    """This version is installed already, with other content: a version never changes."""

    code = "version_exists"


class AlreadyInstalledError(ConflictError):
    """Another version of this skill is installed; use ``upgrade``."""

    code = "already_installed"


class ReportRefusedError(RuntimeRefusalError):
    """The scan's verdict does not let this skill be installed. ``report`` says why."""

    code = "report_refused"

    def __init__(self, report: Report) -> None:
        self.report = report
        super().__init__(report.reasons[0])


class DecisionRefusedError(RuntimeRefusalError):
    """A version may not be started here now (a ban, a missing approval); ``reasons`` say why."""

    code = "decision_refused"

    def __init__(self, reasons: tuple[Reason, ...], *, held: bool) -> None:
        self.reasons = reasons
        self.held = held
        super().__init__("; ".join(reason.message for reason in reasons))


class VersionPinnedError(ConflictError):
    """Agents are pinned to the version that is to be removed; ``agents`` are their names."""

    code = "version_pinned"

    def __init__(self, ref: str, agents: tuple[str, ...]) -> None:
        self.agents = agents
        super().__init__(f"{ref} is what {', '.join(agents)} is pinned to; unpin it first, or force the removal")


class NothingToRollBackError(ConflictError):
    """There is no earlier version to go back to."""

    code = "nothing_to_roll_back"
