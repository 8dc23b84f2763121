"""What the runtime refuses, apart from what its rooms refuse."""

from __future__ import annotations

from skillyard.errors import ConflictError, SkillyardError
from skillyard.governance.decision import Reason
from skillyard.governance.report import Report


class RuntimeRefusalError(SkillyardError):
    """The runtime refused to do something."""

    code = "refused"


class QueueFullError(RuntimeRefusalError):
    """Too many calls wait for a sandbox already; try again after ``retry_after`` seconds."""

    code = "queue_full"

    def __init__(self, *, waiting: int, retry_after: float) -> None:
        self.waiting = waiting
        self.retry_after = retry_after
        super().__init__(f"{waiting} calls wait for a sandbox already; try again later")


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


class NothingToRollBackError(ConflictError):
    """There is no earlier version to go back to."""

    code = "nothing_to_roll_back"
