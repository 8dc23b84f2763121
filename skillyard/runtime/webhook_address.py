"""Where a webhook may go: HTTPS addresses on the public internet, unless a setting says more."""

from __future__ import annotations

import httpx

from skillyard.errors import SkillyardError
from skillyard.runtime import addresses
from skillyard.runtime.addresses import Reach, Target

_EXAMPLE = "https://hooks.example.org/path"


class WebhookAddressError(SkillyardError):
    """A webhook's address is one that nothing is sent to from here."""

    code = "webhook_address"


def parse_url(text: str) -> httpx.URL:
    """The address as one, whatever it resolves to. Raises ``InputError`` naming the field."""
    return addresses.parse_url(text, example=_EXAMPLE, credentials="receivers go by the signature")


async def checked(url: httpx.URL, *, allow_private: bool) -> Target:
    """The address, resolved. Raises ``WebhookAddressError`` for one that is not reached, or must not be.

    ``allow_private`` lets private addresses be, and plain HTTP to this machine.
    """
    reach = Reach(private=allow_private, plain_loopback=allow_private, plain=False, refusal=WebhookAddressError)
    return await addresses.checked(url, reach)
