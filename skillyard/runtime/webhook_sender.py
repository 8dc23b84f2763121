"""One message to one address: signed, within limits, to exactly the address that was checked.

The signature is that of Standard Webhooks (https://www.standardwebhooks.com, version 1): HMAC-SHA256 with the webhook's
secret over ``id.timestamp.body``, in base64 behind ``v1,``. Receivers have libraries that check it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

import skillyard
from skillyard.governance.webhook import Claimed
from skillyard.runtime.addresses import IpAddress, Target
from skillyard.runtime.webhook_address import WebhookAddressError, checked, parse_url


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of sending. Without an ``error`` the receiver took the message."""

    status: int | None
    error: str | None


class WebhookSender:
    """Sends; keeps nothing but the certificates it trusts."""

    def __init__(self, *, timeout: float, allow_private: bool, ca_bundle: Path | None) -> None:
        """``timeout`` in seconds, for all of one attempt."""
        self._timeout = timeout
        self._allow_private = allow_private
        self._ca_bundle = ca_bundle
        self._trust: ssl.SSLContext | None = None

    async def send(self, message: Claimed, *, timestamp: int) -> Attempt:
        """One attempt. Never raises for what a receiver or the network does; the error says it in our own words."""
        try:
            async with asyncio.timeout(self._timeout):
                target = await checked(parse_url(message.url), allow_private=self._allow_private)
                return await self._post(target, message, timestamp)
        except TimeoutError:
            return Attempt(None, f"no answer within {self._timeout:g} s")
        except WebhookAddressError as error:
            return Attempt(None, str(error))
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as error:
            # The client's own messages may hold the address, and what a stranger's server wrote.
            return Attempt(None, _in_short(error))

    async def _post(self, target: Target, message: Claimed, timestamp: int) -> Attempt:
        """To the first of the addresses that can be connected to."""
        for ip in target.ips[:-1]:
            with suppress(httpx.ConnectError):
                return await self._post_to(ip, target.url, message, timestamp)
        return await self._post_to(target.ips[-1], target.url, message, timestamp)

    async def _post_to(self, ip: IpAddress, url: httpx.URL, message: Claimed, timestamp: int) -> Attempt:
        headers = {
            "Host": url.netloc.decode("ascii"),
            "Content-Type": "application/json",
            "User-Agent": f"skillyard/{skillyard.__version__}",
            "webhook-id": message.message,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(message.secret, message.message, timestamp, message.body),
        }
        verify = await self._context()
        # Proxies from the environment would resolve the name themselves, past the check.
        async with httpx.AsyncClient(verify=verify, trust_env=False, timeout=self._timeout) as client:
            request = client.build_request(
                "POST",
                url.copy_with(host=str(ip)),
                headers=headers,
                content=message.body.encode(),
                extensions={"sni_hostname": url.host},
            )
            # Its head is all that counts: a body of whatever size is not read, and a redirect is not followed.
            response = await client.send(request, stream=True, follow_redirects=False)
            await response.aclose()
        if response.is_success:
            return Attempt(response.status_code, None)
        kind = "a redirect, which is not followed" if response.is_redirect else "and did not take it"
        return Attempt(response.status_code, f"answered with status {response.status_code}, {kind}")

    async def _context(self) -> ssl.SSLContext:
        if self._trust is None:
            self._trust = await asyncio.to_thread(ssl.create_default_context, cafile=self._ca_bundle)
        return self._trust


def sign(secret: str, message: str, timestamp: int, body: str) -> str:
    """The value of ``webhook-signature``. ``secret`` is ``whsec_`` and base64 of the key."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{message}.{timestamp}.{body}".encode(), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _in_short(error: BaseException) -> str:
    match error:
        case ssl.SSLError() | httpx.ConnectError() if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return "its certificate is not one that is trusted here"
        case httpx.ConnectError():
            return "it cannot be connected to"
        case httpx.RemoteProtocolError():
            return "what answers does not speak HTTP as it should"
        case _:
            return f"the connection failed ({type(error).__name__})"
