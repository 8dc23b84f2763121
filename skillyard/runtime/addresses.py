"""Addresses outside that people name and this server then asks: what they may be, and where they lead.

Whoever may name one makes the server ask an address of their choice, and learns whether something answers. So the name
is resolved here, every address it has is checked, and the request goes to exactly what was checked: a name that
resolves otherwise a moment later changes nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass

import httpx

from skillyard.errors import InputError, SkillyardError

_RESOLVE_SECONDS = 5.0
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LONGEST = 2000

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Reach:
    """Where requests of one sort may go. HTTPS is never refused for itself.

    ``private`` lets private addresses be, ``plain_loopback`` plain HTTP to this machine, ``plain`` plain HTTP anywhere.
    ``refusal`` is what is raised, and ``what`` is sent, as the message says it.
    """

    private: bool
    plain_loopback: bool
    plain: bool
    refusal: type[SkillyardError]
    what: str = "messages are"


@dataclass(frozen=True, slots=True)
class Target:
    """A checked address: ``url`` as it was given, and the IP addresses to connect to, to be tried in turn."""

    url: httpx.URL
    ips: tuple[IpAddress, ...]


def parse_url(text: str, *, example: str, credentials: str) -> httpx.URL:
    """The address as one, whatever it resolves to. Raises ``InputError`` naming the field.

    ``example`` is one that would be taken; ``credentials`` says what stands in for a user name in it.
    """
    if len(text) > _LONGEST:
        raise InputError(f"longer than {_LONGEST} characters", field="url")
    try:
        url = httpx.URL(text)
        host = url.host  # decoded only here, which fails for names that are not of IDNA
    except (httpx.InvalidURL, ValueError) as error:
        raise InputError(f"not an address: {error}", field="url") from error
    if url.scheme not in ("http", "https") or not host:
        raise InputError(f"not an address such as {example}", field="url")
    if url.userinfo:
        raise InputError(f"an address with a user name or password is refused; {credentials}", field="url")
    if url.fragment:
        raise InputError("an address has no fragment", field="url")
    return url


def origin(url: httpx.URL) -> str:
    """Scheme, host and port: what may be logged and recorded. A path may hold a token."""
    port = f":{url.port}" if url.port is not None else ""
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{url.scheme}://{host}{port}"


async def checked(url: httpx.URL, reach: Reach) -> Target:
    """The address, resolved. Raises ``reach.refusal`` for one that is not reached, or must not be."""
    port = url.port or (443 if url.scheme in ("https", "wss") else 80)
    addresses = await host_ips(url.host, port, reach)
    if url.scheme == "https" or reach.plain:
        return Target(url, addresses)
    if not (reach.plain_loopback and all(_bare(ip).is_loopback for ip in addresses)):
        raise reach.refusal(f"{reach.what} sent over https:// only")
    return Target(url, addresses)


async def host_ips(host: str, port: int, reach: Reach) -> tuple[IpAddress, ...]:
    """The addresses of a host, all of them checked. Raises ``reach.refusal``."""
    addresses = await _resolved(host, port, reach.refusal)
    if not reach.private and (inside := [ip for ip in addresses if not is_public(ip)]):
        raise reach.refusal(f"{host} is the private address {inside[0]}, which this server does not send to")
    return addresses


def is_public(ip: IpAddress) -> bool:
    """Whether an address is one of the internet at large. Wrapped IPv4 addresses count as what they wrap."""
    bare = _bare(ip)
    return bare.is_global and not bare.is_multicast and not (bare.version == 6 and _is_tunnel(bare))


def _bare(ip: IpAddress) -> IpAddress:
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return ip.ipv4_mapped
        if ip in _NAT64:
            return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip


def _is_tunnel(ip: IpAddress) -> bool:
    """6to4 and Teredo lead to an IPv4 address inside them, which nobody has needed for years."""
    return isinstance(ip, ipaddress.IPv6Address) and (ip.sixtofour is not None or ip.teredo is not None)


async def _resolved(host: str, port: int, refusal: type[SkillyardError]) -> tuple[IpAddress, ...]:
    try:
        async with asyncio.timeout(_RESOLVE_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise refusal(f"{host} was not resolved within {_RESOLVE_SECONDS:g} s") from error
    except (OSError, UnicodeError) as error:
        raise refusal(f"{host} has no address") from error
    # An IPv6 address may carry a zone (``fe80::1%eth0``), which is private in any case.
    return tuple(dict.fromkeys(ipaddress.ip_address(entry[4][0]) for entry in found))
