"""Reading the ``metadata`` keys that ask for something: version, network, memory, time-out.

Sizes are a number and KiB, MiB, GiB (1024) or kB, MB, GB (1000); times a number and ms, s, m or h; hosts are host names
separated by spaces or commas. Versions follow Semantic Versioning 2.0.0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from semver import Version

from skillyard.skills.errors import SkillError
from skillyard.skills.frontmatter import FILE, Text
from skillyard.skills.permissions import Requested
from skillyard.skills.tolerance import Tolerance

KEYS = frozenset({"python", "npm", "entry", "network", "memory", "timeout", "package-manager"})
"""Known names after ``skillyard.`` in metadata; another one is a spelling mistake, or of a later version."""

MAX_MEMORY_BYTES = 2**40
MAX_TIMEOUT_SECONDS = 24 * 3600.0
MAX_VERSION = 64

_SIZES = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "kB": 10**3, "MB": 10**6, "GB": 10**9}
_TIMES = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_QUANTITY = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*([A-Za-z]+)")
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_SHORT_VERSION = re.compile(r"v?(0|[1-9]\d*)(?:\.(0|[1-9]\d*))?(?:\.(0|[1-9]\d*))?(.*)")


def read_requested(metadata: Mapping[str, Text], tolerance: Tolerance) -> Requested:
    """What ``skillyard.network``, ``.memory`` and ``.timeout`` ask for; raises ``SkillError`` naming the field."""
    for key, text in metadata.items():
        prefix, _dot, name = key.partition(".")
        if prefix == "skillyard" and name not in KEYS:
            known = ", ".join(f"skillyard.{name}" for name in sorted(KEYS))
            message = f"not a known key; there are {known}"
            tolerance.tolerate("unknown_key", message, file=FILE, line=text.line, field=f"metadata.{key}")
    return Requested(_hosts(metadata), _memory(metadata), _timeout(metadata))


def read_version(text: Text, field: str, tolerance: Tolerance) -> str:
    """A SemVer version; lenient reading completes ``v1``, ``1`` and ``1.2`` and says so."""
    value = text.value.strip()
    if len(value) <= MAX_VERSION and Version.is_valid(value):
        return value
    match = _SHORT_VERSION.fullmatch(value)
    if match and len(value) <= MAX_VERSION:
        major, minor, patch, rest = match.groups()
        whole = f"{major}.{minor or 0}.{patch or 0}{rest}"
        if Version.is_valid(whole):
            message = f"{value!r} is not a version of three numbers (SemVer); {whole!r} is meant"
            tolerance.tolerate("version_short", message, file=FILE, line=text.line, field=field)
            return whole
    raise _wrong(f"{value[:80]!r} is not a Semantic Version, for example 1.0.0", field, text)


def _memory(metadata: Mapping[str, Text]) -> int | None:
    field = "skillyard.memory"
    value = _quantity(metadata, field, _SIZES)
    if value is None:
        return None
    if not 1 <= value <= MAX_MEMORY_BYTES:
        raise _wrong("must be between 1 byte and 1024GiB", f"metadata.{field}", metadata[field])
    return int(value)


def _timeout(metadata: Mapping[str, Text]) -> float | None:
    field = "skillyard.timeout"
    value = _quantity(metadata, field, _TIMES)
    if value is not None and not 0 < value <= MAX_TIMEOUT_SECONDS:
        raise _wrong("must be more than nothing and at most 24h", f"metadata.{field}", metadata[field])
    return value


def _quantity(metadata: Mapping[str, Text], field: str, units: Mapping[str, float]) -> float | None:
    text = metadata.get(field)
    if text is None:
        return None
    match = _QUANTITY.fullmatch(text.value.strip())
    if match is None or match[2] not in units:
        message = f"{text.value[:80]!r} is not a number and one of {', '.join(units)}"
        raise _wrong(message, f"metadata.{field}", text)
    return float(match[1]) * units[match[2]]


def _hosts(metadata: Mapping[str, Text]) -> tuple[str, ...]:
    field = "skillyard.network"
    text = metadata.get(field)
    if text is None or text.value.strip() == "none":
        return ()
    hosts = {host.lower() for host in re.split(r"[\s,]+", text.value) if host}
    for host in sorted(hosts):
        if not _HOST.fullmatch(host):
            raise _wrong(f"{host[:80]!r} is not a host name", f"metadata.{field}", text)
    return tuple(sorted(hosts))


def _wrong(message: str, field: str, text: Text) -> SkillError:
    return SkillError(message, file=FILE, line=text.line, field=field)
