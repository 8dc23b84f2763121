"""What can be wrong with a marketplace or with the way to one. Each says what an operator can do about it."""

from __future__ import annotations

from skillyard.errors import ConflictError, InputError, MachineError, SkillyardError


class MarketplaceError(SkillyardError):
    """Something in the marketplace could not be done."""

    code = "marketplace"


class DocumentError(InputError):
    """A document of a marketplace that is not one: it is set aside and never stored as truth."""

    code = "marketplace_document"


class CursorGoneError(MarketplaceError):
    """The cursor belongs to another feed or lies before the horizon; begin again with a snapshot."""

    code = "cursor_gone"


class CursorError(InputError):
    """The cursor is not one that this server gave."""

    code = "cursor"


class RevisionConflictError(ConflictError):
    """Somebody else changed it since it was read."""

    code = "revision_conflict"


class NotAllowedError(MarketplaceError):
    """Whoever sends this to the hub may not: the namespace or the rating is not theirs, or the token lacks a scope."""

    code = "not_allowed"


class TokenEndedError(MarketplaceError):
    """The instance's token was revoked, or expired, while what it sent was being done."""

    code = "token_ended"


class ReservedError(ConflictError):
    """This number was given to other content, or to content that is deleted: it is never given again."""

    code = "version_reserved"


class RemovedError(ConflictError):
    """A moderator took it out of the marketplace, and only a moderator lets it back."""

    code = "moderated"


class ItemReusedError(ConflictError):
    """The idempotency key was used for something else before."""

    code = "item_reused"


class IncomingFullError(MachineError):
    """There is no room for more uploads at the moment."""

    code = "incoming_full"


class NotInstallableError(ConflictError):
    """A remote's version that may not be installed: its moderators, our filters or the remote's own state forbid it."""

    code = "not_installable"


class SignerError(ConflictError):
    """A version is not signed as its publisher signed before; an admin may accept another key."""

    code = "signer"


class HubBusyError(MarketplaceError):
    """Too many publications wait to be looked at already; try again later."""

    code = "hub_busy"


class RemoteError(MarketplaceError):
    """A remote marketplace did not do what was asked, or gave an answer that is none."""

    code = "remote"


class UploadBrokenError(MarketplaceError):
    """Sending something broke in a way that nobody thought of. It is tried again; the server's log says more."""

    code = "upload_broken"


class RemoteUnavailableError(RemoteError):
    """A remote marketplace could not be reached, or asked to be left alone for a while."""

    code = "remote_unavailable"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        """``retry_after`` is in seconds, where the remote named one."""
        self.retry_after = retry_after
        super().__init__(message)


class RemoteRefusedError(RemoteError):
    """A remote marketplace refused: the token is not good, or it may not do this."""

    code = "remote_refused"


class RemoteAnswerError(RemoteError):
    """A remote marketplace answered something that cannot be used."""

    code = "remote_answer"


class FeedTrustError(RemoteError):
    """A remote's signed head does not fit: expired, gone back, by another key, or of other content. Nothing is applied
    until an operator has looked."""

    code = "feed_trust"

    def __init__(self, message: str, *, offered_key: str | None = None) -> None:
        """``offered_key`` is the other key, in hex, where one signed what came: an operator may accept it."""
        self.offered_key = offered_key
        super().__init__(message)


class RemoteAddressError(RemoteError):
    """A remote's address is one that nothing is sent to from here."""

    code = "remote_address"


class TooManyListenersError(MarketplaceError):
    """As many followers wait for changes at this process as it lets wait at once."""

    code = "too_many_listeners"
