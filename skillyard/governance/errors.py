"""What governance refuses to store or cannot know. A refusal of a call is a ``Decision``, not an error."""

from __future__ import annotations

from skillyard.errors import ConflictError, InputError, SkillyardError


class GovernanceError(SkillyardError):
    """Governance could not do its part."""

    code = "governance"


class RuleError(InputError):
    """A package rule, policy or request is not valid; names the field."""

    code = "invalid_rule"


class PolicyFileError(InputError):
    """A scan policy file cannot be read or says something wrong; names file, line and field."""

    code = "scan_policy"


class SecondPersonError(ConflictError):
    """An approval needs a second person: not the one who asked, and not the owner of the agent that asked."""

    code = "second_person_required"


class AlreadyDecidedError(ConflictError):
    """An approval request was already approved or denied."""

    code = "already_decided"


class LockChangedError(ConflictError):
    """The skill version's lock is not the one that the approval request was about; ask again."""

    code = "lock_changed"


class BannedPackageError(ConflictError):
    """A lock that holds a banned package cannot be approved; the ban has to be lifted first."""

    code = "banned_package"


class AdminRoleError(GovernanceError):
    """Only a person with the role admin changes rules and decides on approvals."""

    code = "admin_role_required"


class OperatorRoleError(AdminRoleError):
    """Only a person with the role operator changes what concerns the whole instance."""

    code = "operator_role_required"


class WorkspaceSuspendedError(GovernanceError):
    """The workspace is suspended: what is there can be read, nothing is changed and no call is made."""

    code = "workspace_suspended"


class AdvisoryIndexError(GovernanceError):
    """The advisory index is missing, unreadable or of another version. Never the same as "no advisories"."""

    code = "advisory_index"


class AdvisoryIndexMissingError(AdvisoryIndexError):
    """There is no advisory index, or none for an ecosystem that was asked about."""

    code = "advisory_index_missing"


class AdvisorySourceError(GovernanceError):
    """Advisory records could not be read from their source; the index stays as it was.

    ``source`` names the file or address, ``line`` the record's line in it where there is one.
    """

    code = "advisory_source"

    def __init__(self, message: str, *, source: str | None = None, line: int | None = None):
        self.source = source
        self.line = line
        place = "" if source is None else source if line is None else f"{source}:{line}"
        super().__init__(f"{place}: {message}" if place else message)


class AdvisoryUpdateRunningError(ConflictError):
    """Another process is replacing the advisory index, and did not finish within the time limit."""

    code = "advisory_update_running"


class ReportFormatError(GovernanceError):
    """A kept report cannot be read back as what it was; it counts for nothing."""

    code = "report_format"


class AuditBrokenError(GovernanceError):
    """The audit chain does not verify."""

    code = "audit_broken"
