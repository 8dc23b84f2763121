"""What governance refuses to store or cannot know. A refusal of a call is a ``Decision``, not an error."""

from __future__ import annotations

from skillyard.errors import ConflictError, InputError, SkillyardError


class GovernanceError(SkillyardError):
    """Governance could not do its part."""

    code = "governance"


class RuleError(InputError):
    """A package rule, policy or request is not valid; names the field."""

    code = "invalid_rule"


class SecondPersonError(ConflictError):
    """An approval needs a second person: not the one who asked, and not the owner of the agent that asked."""

    code = "second_person_required"


class AlreadyDecidedError(ConflictError):
    """An approval request was already approved or denied."""

    code = "already_decided"


class AdvisoryIndexError(GovernanceError):
    """The advisory index is missing, unreadable or of another version. Never the same as "no advisories"."""

    code = "advisory_index"


class AdvisorySourceError(GovernanceError):
    """Advisory records could not be read from their source; the index stays as it was."""

    code = "advisory_source"


class AuditBrokenError(GovernanceError):
    """The audit chain does not verify."""

    code = "audit_broken"
