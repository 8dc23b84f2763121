"""What uv's standard error means: no solution, or nothing known because the index or uv itself failed.

Decided on the content alone. Only a message that is known to be about the packages is a ``ResolveError``; everything
else leaves the question open, and is a ``ResolverUnavailableError``.
"""

from __future__ import annotations

import re

from packaging.utils import canonicalize_name

from skillyard.sandbox.errors import DiskFullError, ResolveError, ResolverUnavailableError
from skillyard.sandbox.resolvers.requirements import Wanted
from skillyard.skills.lock import Target
from skillyard.skills.skill import Origin

_NO_SOLUTION = "No solution found when resolving dependencies"
_NOT_ASKED = (
    "could not be queried",
    "network was disabled",
    "network connectivity is disabled",
    "403 Forbidden",
    "401 Unauthorized",
)
_FULL = ("No space left on device", "os error 28", "os error 122", "Disk quota exceeded")
_UNKNOWN = re.compile(r"([A-Za-z0-9._-]+) was not found in the package registry")
_NO_WHEELS = re.compile(r"([A-Za-z0-9._-]+)(?:[=<>!~][^ ]*)? (?:has|have) no usable wheels")
_NO_TAG = re.compile(r"([A-Za-z0-9._-]+)(?:[=<>!~][^ ]*)? (?:has|have) no wheels with a matching")
_NEEDS_WHEEL = re.compile(r"Wheels are required for `([A-Za-z0-9._-]+)` because building from source is disabled")
_NO_SOURCE = re.compile(r"([A-Za-z0-9._-]+)(?:[=<>!~][^ ]*)? (?:has|have) no source distribution")
_NO_VERSION = re.compile(r"there (?:is no version|are no versions) of ([A-Za-z0-9._-]+)([=<>!~][^ ]*)?")
_BLAMED = re.compile(r"you require ([^,]+)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TOO_NEW = re.compile(r"([A-Za-z0-9._-]+)\S* was published after the exclude newer time")


class OnlySourceError(ResolveError):
    """Packages lack a wheel for the target. ``names`` (canonical) may have a source archive, the most likely first;
    ``askers`` are the packages that ask for the first, none where the skill itself does."""

    names: tuple[str, ...] = ()
    askers: tuple[str, ...] = ()


def says_no_source(text: str, name: str) -> bool:
    """Whether uv found no source archive of a package."""
    return any(canonicalize_name(found) == name for found in _NO_SOURCE.findall(text))


def says_full(text: str) -> bool:
    """Whether a tool's message is about a full disk."""
    return any(sign in text for sign in _FULL)


def says_unreachable(text: str) -> bool:
    """Whether uv could not ask the index, or was not let in."""
    signs = (*_NOT_ASKED, "Request failed", "Failed to fetch", "error sending request", "HTTP status", "timed out")
    return any(sign in text for sign in signs)


def failure(
    text: str, exit_code: int, target: Target, wanted: tuple[Wanted, ...]
) -> ResolveError | ResolverUnavailableError | DiskFullError:
    """The error for a run of uv that failed. ``text`` is its standard error, already without secrets."""
    if says_full(text):
        return DiskFullError("no space is left for uv's cache")
    if _NO_SOLUTION in text and not any(sign in text for sign in _NOT_ASKED):
        return _no_solution(text, target, wanted)
    if not text:
        return ResolverUnavailableError(f"uv ended with exit code {exit_code} and no message")
    return ResolverUnavailableError(f"the package index gave no answer: {text}")


def _no_solution(text: str, target: Target, wanted: tuple[Wanted, ...]) -> ResolveError:
    explanation = " ".join(text.partition("cause:")[2].partition("\nhint:")[0].split())
    message = f"{_summary(text, target)}. {explanation}" if explanation else _summary(text, target)
    origin = _origin(explanation, wanted)
    names = _only_source(text, explanation)
    error = OnlySourceError if names else ResolveError
    file, line, field = (None, None, None) if origin is None else (origin.file, origin.line, origin.field)
    made = error(message, file=file, line=line, field=field)
    if isinstance(made, OnlySourceError):
        made.names, made.askers = names, _askers(explanation, names[0])
    return made


def _only_source(text: str, explanation: str) -> tuple[str, ...]:
    found = (*_NEEDS_WHEEL.findall(text), *_NO_TAG.findall(explanation))
    return tuple(dict.fromkeys(canonicalize_name(name) for name in found))


def _askers(explanation: str, name: str) -> tuple[str, ...]:
    found = re.findall(rf"(\S+) depends? on {re.escape(name)}(?![A-Za-z0-9._-])", explanation)
    names = (_NAME.match(asker) for asker in found)
    return tuple(sorted({canonicalize_name(match[0]) for match in names if match}))


def _summary(text: str, target: Target) -> str:
    if found := _UNKNOWN.search(text):
        return f"{found[1]} is not on the package index"
    if found := _TOO_NEW.search(text):
        return f"{found[1]} is younger than the minimum release age"
    if found := _NO_TAG.search(text):
        return f"{found[1]} has no wheel for Python {target.python} on {target.platform}"
    if found := _NO_WHEELS.search(text):
        return f"{found[1]} exists only as source"
    if found := _NO_SOURCE.search(text):
        return f"{found[1]} has neither a wheel for Python {target.python} on {target.platform} nor a source archive"
    if (found := _NO_VERSION.search(text)) and text.count("because") <= 1:
        return f"the package index has no version {found[1]}{found[2] or ''}"
    return "the declared packages contradict each other"


def _origin(explanation: str, wanted: tuple[Wanted, ...]) -> Origin | None:
    """Where the skill declares what the explanation blames, if that is one place."""
    blamed = {canonicalize_name(name) for part in _BLAMED.findall(explanation) for name in _NAME.findall(part)}
    places = {want.declared.origin for want in wanted if canonicalize_name(want.declared.name) in blamed}
    return places.pop() if len(places) == 1 else None
