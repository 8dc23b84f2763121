"""Addresses in a text, and what kind of host each names."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

from skillyard.governance.static.urls_hosts import (
    APIS,
    CHATS,
    INSTALLERS,
    PASTES,
    REPOSITORIES,
    SHORTENERS,
    SINKS,
)


class Host(StrEnum):
    INSTALLER = "a vendor's installer"
    REPOSITORY = "a public repository"
    API = "a well-known API"
    PASTE = "a paste site"
    SHORTENER = "a shortened link"
    SINK = "a throw-away address"
    CHAT = "a chat's webhook"
    RAW_IP = "a bare IP address"
    PRIVATE = "this machine or its network"
    OPEN = "an address that is only known when it runs"
    UNKNOWN = "a host that nobody vouches for"


_URL: Final = re.compile(
    r"\b(?:(https?|ftp)(?:://|\[:\]//|:\\/\\/)|(?<=['\"\s(`])(?=(?:bit\.ly|tinyurl\.com|is\.gd|cutt\.ly|pastebin\.com)/))"
    r"([^\s\"'`<>()\[\]{}|\\^,;*]{1,500})",
    re.IGNORECASE,
)
_OPEN: Final = re.compile(r"^[^/]{0,80}(?:\$|\{|<|%|your[-_]|my[-_]?(?:domain|host|server)|\bhost\b)", re.IGNORECASE)
_RESOLVERS: Final = frozenset({"1.1.1.1", "1.0.0.1", "8.8.8.8", "8.8.4.4", "9.9.9.9", "149.112.112.112"})
"""Public resolvers, whose vendors everybody knows by their numbers."""
_LOCAL_SUFFIXES: Final = (".local", ".internal", ".intranet", ".lan", ".corp", ".home.arpa", ".svc", ".cluster.local")
_DOCUMENTATION: Final = tuple(
    ipaddress.ip_network(one)
    for one in ("192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
)


@dataclass(frozen=True)
class Url:
    text: str
    start: int
    secure: bool
    rest: str
    """What follows the scheme: host, port, path."""

    @cached_property
    def host(self) -> str:
        authority = re.split(r"[/?#]", self.rest, maxsplit=1)[0].rpartition("@")[2]
        if authority.startswith("["):
            return authority[1:].partition("]")[0].lower()
        return authority.partition(":")[0].lower().rstrip(".")

    @cached_property
    def kind(self) -> Host:
        return kind_of(self.host, self.rest)

    @property
    def doubtful(self) -> bool:
        """Whether code from here should never be run unread."""
        if self.kind in {Host.RAW_IP, Host.PASTE, Host.SHORTENER, Host.SINK, Host.CHAT, Host.UNKNOWN}:
            return True
        return not self.secure and self.kind not in {Host.PRIVATE, Host.OPEN, Host.INSTALLER}

    @property
    def nameless(self) -> bool:
        """Whether nobody can be held to what is served here."""
        return self.kind in {Host.RAW_IP, Host.PASTE, Host.SHORTENER, Host.SINK}


def urls(text: str, start: int = 0, end: int | None = None) -> Iterator[Url]:
    """The addresses between two offsets, in order."""
    for found in _URL.finditer(text, start, len(text) if end is None else end):
        rest = found[2].rstrip(".,:!?")
        yield Url(found[0], found.start(), (found[1] or "https").lower() == "https", rest)


def kind_of(host: str, rest: str = "") -> Host:
    if _OPEN.search(rest or host) or not host or ("." not in host and ":" not in host and host != "localhost"):
        return Host.PRIVATE if host and re.fullmatch(r"[a-z][a-z0-9-]*", host) else Host.OPEN
    if host in _RESOLVERS:
        return Host.API
    if (address := _address(host)) is not None:
        # Addresses for documentation and measurements are judged as any other: an attack would not use them, but it is written like one.
        documented = any(address.version == net.version and address in net for net in _DOCUMENTATION)
        return Host.RAW_IP if documented or not address.is_private else Host.PRIVATE
    if host == "localhost" or host.endswith(_LOCAL_SUFFIXES):
        return Host.PRIVATE
    if host.startswith(("s3.", "s3-", "storage.")) or ".s3." in host or ".s3-" in host:
        return Host.UNKNOWN  # anybody's bucket
    bare = f"{host}{rest[len(host) :]}" if rest.lower().startswith(host) else host
    if bare.startswith(CHATS):
        return Host.CHAT
    for names, kind in (
        (PASTES, Host.PASTE),
        (SINKS, Host.SINK),
        (SHORTENERS, Host.SHORTENER),
        (REPOSITORIES, Host.REPOSITORY),
        (INSTALLERS, Host.INSTALLER),
        (APIS, Host.API),
    ):
        if _within(host, names):
            return kind
    return Host.UNKNOWN


def _within(host: str, names: frozenset[str]) -> bool:
    parts = host.split(".")
    return any(".".join(parts[at:]) in names for at in range(len(parts) - 1))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(int(host, 0) if re.fullmatch(r"0x[0-9a-f]{7,8}|\d{8,10}", host) else host)
    except ValueError:
        return None
