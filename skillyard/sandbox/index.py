"""The Python package index as settings describe it: what uv is told, and what must never be shown.

Addresses and credentials reach uv through its environment alone: a command line can be read by every user of the
machine, and a lock or a log outlives the password in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import uv

from skillyard.sandbox.errors import ResolverUnavailableError
from skillyard.settings import Settings

_USERINFO = re.compile(r"(?<=//)[^/@\s]+@")
_HIDDEN = "the-package-index"
_LONGEST = 4000


@dataclass(frozen=True, slots=True)
class PackageIndex:
    """How to ask the index. ``timeout`` is the limit of one resolution or one download, seconds."""

    environment: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    """Texts that ``scrub`` takes out, longest first."""
    timeout: float
    minimum_release_age_days: float

    @classmethod
    def from_settings(cls, settings: Settings) -> PackageIndex:
        default = settings.index_url.get_secret_value() if settings.index_url else None
        extra = [url.get_secret_value() for url in settings.extra_index_urls]
        proxy = [settings.index_proxy.get_secret_value()] if settings.index_proxy else []
        environment = dict(settings.tool_environment) | {
            "NO_COLOR": "1",
            "UV_NO_CONFIG": "1",
            "UV_NO_PROGRESS": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_KEYRING_PROVIDER": "disabled",
            "UV_HTTP_RETRIES": "2",
            "UV_HTTP_TIMEOUT": str(max(1, round(min(30.0, settings.index_timeout)))),
        }
        if default:
            environment["UV_DEFAULT_INDEX"] = default
        if extra:
            environment["UV_INDEX"] = " ".join(extra)
        return cls(
            environment=environment,
            secrets=tuple(sorted(_secrets([default or "", *extra, *proxy]), key=len, reverse=True)),
            timeout=settings.index_timeout,
            minimum_release_age_days=settings.minimum_release_age_days,
        )

    def uv_environment(self, cache: Path) -> dict[str, str]:
        """uv's whole environment, with its cache in ``cache``."""
        return {**self.environment, "UV_CACHE_DIR": str(cache)}

    def scrub(self, text: str) -> str:
        """``text`` without configured addresses or any credentials, cut to a length that people read."""
        for secret in self.secrets:
            text = text.replace(secret, _HIDDEN)
        text = _USERINFO.sub("", text).strip()
        return text if len(text) <= _LONGEST else text[:_LONGEST] + " …"


def uv_program() -> str:
    """The path of the uv that was installed with us. Raises ``ResolverUnavailableError``."""
    try:
        return str(uv.find_uv_bin())
    except FileNotFoundError as error:
        raise ResolverUnavailableError("uv is not installed beside Skillyard; reinstall the package 'uv'") from error


def _secrets(urls: Iterable[str]) -> set[str]:
    """Each address as configured, without its credentials, its host with port, and the credentials themselves."""
    found: set[str] = set()
    for url in filter(None, urls):
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        bare = parts._replace(netloc=host).geturl()
        found |= {url, url.rstrip("/"), bare, bare.rstrip("/"), host}
        for credential in (parts.username, parts.password):
            if credential and len(credential) > 2:
                found |= {credential, unquote(credential)}
    return found - {""}
