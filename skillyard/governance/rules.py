"""Package rules as people write them: canonical names, valid specifiers, reasons; and what a specifier matches.

Names of PyPI are one after PEP 503 (``EVIL``, ``e_v.il`` and ``e-v-il`` are not three names). npm's are kept as they
are, scope included, because npm tells them apart by case. Specifiers are PEP 440 for PyPI and npm's ranges for npm.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import assert_never

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from skillyard.governance.decision import Maturity, RuleState
from skillyard.governance.errors import RuleError
from skillyard.governance.npm_ranges import NpmRangeError, npm_range, npm_version
from skillyard.skills.skill import Ecosystem
from skillyard.times import in_utc

NAME_MAX = 214
"""npm's own limit; PyPI names are shorter."""
SPECIFIER_MAX = 500
VERSION_MAX = 256
TEXT_MAX = 2000
"""Most characters of a reason or a comment."""

# PEP 508's grammar of names, and npm's of new packages with an optional scope; both without their length limits.
_PYPI_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_NPM_NAME = re.compile(r"(@[A-Za-z0-9~-][A-Za-z0-9._~-]*/)?[A-Za-z0-9~-][A-Za-z0-9._~-]*")
Bounds = tuple[tuple[Callable[[Version, Version], bool], Version], ...]
_COMPARISONS: Mapping[str, Callable[[Version, Version], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Match(Enum):
    """Whether a version is one that a specifier means. ``CANNOT_TELL`` counts against the package: it matches a ban
    and does not match an approval."""

    YES = "yes"
    NO = "no"
    CANNOT_TELL = "cannot_tell"


@dataclass(frozen=True, slots=True)
class RuleDraft:
    """A rule that is valid and not stored yet. Made by ``draft_approval`` and ``draft_ban`` alone."""

    ecosystem: Ecosystem
    name: str
    specifier: str
    state: RuleState
    min_maturity: Maturity | None
    expires_at: datetime | None
    reason: str | None
    hashes: frozenset[str] = frozenset()


def draft_approval(
    *,
    ecosystem: str,
    name: str,
    now: datetime,
    min_maturity: Maturity | str,
    specifier: str = "",
    expires_at: datetime | None = None,
    reason: str | None = None,
    hashes: Iterable[str] = (),
) -> RuleDraft:
    """An approval from text. An empty specifier approves every version. Raises ``RuleError`` naming the field."""
    known = parse_ecosystem(ecosystem)
    return RuleDraft(
        ecosystem=known,
        name=parse_name(known, name),
        specifier=parse_specifier(known, specifier),
        state=RuleState.APPROVED,
        min_maturity=parse_maturity(min_maturity),
        expires_at=parse_expiry(expires_at, now=now),
        reason=None if reason is None else parse_text(reason, field="reason"),
        hashes=frozenset(parse_hash(item) for item in hashes),
    )


def draft_ban(
    *,
    ecosystem: str,
    name: str,
    now: datetime,
    reason: str,
    specifier: str = "",
    expires_at: datetime | None = None,
) -> RuleDraft:
    """A ban from text; it always has a reason. Without an expiry it holds until it is lifted. Raises ``RuleError``."""
    known = parse_ecosystem(ecosystem)
    return RuleDraft(
        ecosystem=known,
        name=parse_name(known, name),
        specifier=parse_specifier(known, specifier),
        state=RuleState.BANNED,
        min_maturity=None,
        expires_at=parse_expiry(expires_at, now=now),
        reason=parse_text(reason, field="reason"),
    )


def parse_ecosystem(text: str, *, field: str = "ecosystem") -> Ecosystem:
    try:
        return Ecosystem(text.strip().lower())
    except ValueError:
        known = ", ".join(Ecosystem)
        raise RuleError(f"{text[:40]!r} is not a package ecosystem; known are {known}", field=field) from None


def parse_name(ecosystem: Ecosystem, text: str, *, field: str = "name") -> str:
    """The canonical name. Raises ``RuleError`` for what cannot be a package's name there."""
    name = text.strip()
    if len(name) > NAME_MAX:
        raise RuleError(f"a package name has at most {NAME_MAX} characters, not {len(name)}", field=field)
    pattern = _PYPI_NAME if ecosystem is Ecosystem.PYPI else _NPM_NAME
    if not pattern.fullmatch(name):
        raise RuleError(f"{name!r} is not a {ecosystem} package name", field=field)
    return canonical_name(ecosystem, name)


@lru_cache(maxsize=16_384)
def canonical_name(ecosystem: Ecosystem, name: str) -> str:
    """PEP 503 for PyPI; npm names are kept."""
    return str(canonicalize_name(name)) if ecosystem is Ecosystem.PYPI else name


def parse_version(ecosystem: Ecosystem, text: str, *, field: str = "version") -> str:
    """One exact version, in its usual form. Raises ``RuleError``, also for a range."""
    if len(text) > VERSION_MAX:
        raise RuleError(f"a version has at most {VERSION_MAX} characters, not {len(text)}", field=field)
    version = text.strip()
    found = _pypi_version(version) if ecosystem is Ecosystem.PYPI else npm_version(version)
    if found is None:
        hint = " but a range; name one version" if _is_specifier(ecosystem, version) else ""
        raise RuleError(f"{version!r} is not an exact {ecosystem} version{hint}", field=field)
    return str(found)


def parse_specifier(ecosystem: Ecosystem, text: str) -> str:
    """The specifier in its usual form; empty means every version. Raises ``RuleError``."""
    specifier = text.strip()
    if len(specifier) > SPECIFIER_MAX:
        raise RuleError(f"a specifier has at most {SPECIFIER_MAX} characters, not {len(specifier)}", field="specifier")
    if specifier in ("", "*"):
        return ""
    match ecosystem:
        case Ecosystem.PYPI:
            return _pypi_specifier(specifier)
        case Ecosystem.NPM:
            return _npm_specifier(specifier)
        case _:
            assert_never(ecosystem)


def parse_maturity(text: Maturity | str) -> Maturity:
    if isinstance(text, Maturity):
        return text
    try:
        return Maturity[text.strip().upper()]
    except KeyError:
        known = ", ".join(item.name for item in Maturity)
        raise RuleError(f"{text[:40]!r} is not a maturity; known are {known}", field="min_maturity") from None


def parse_expiry(moment: datetime | None, *, now: datetime) -> datetime | None:
    """Checks that an expiry names a time zone and lies ahead. Raises ``RuleError``."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise RuleError("an expiry needs a time zone", field="expires_at")
    try:
        moment = in_utc(moment)
    except OverflowError:
        raise RuleError(f"{moment.isoformat()} is at the end of all time", field="expires_at") from None
    if moment <= now:
        raise RuleError(f"an expiry lies in the future, {moment.isoformat()} does not", field="expires_at")
    return moment


def parse_text(text: str, *, field: str) -> str:
    """A reason or comment: not empty, printable, at most ``TEXT_MAX`` characters. Raises ``RuleError``."""
    stripped = text.strip()
    if not stripped:
        raise RuleError("must not be empty", field=field)
    if len(stripped) > TEXT_MAX:
        raise RuleError(f"has at most {TEXT_MAX} characters, not {len(stripped)}", field=field)
    # It is printed on terminals and in logs, where an escape sequence could rewrite what stands around it.
    if not all(character.isprintable() or character in "\n\t" for character in stripped):
        raise RuleError("holds a character that cannot be printed", field=field)
    return stripped


def matches(ecosystem: Ecosystem, specifier: str, version: str, *, ban: bool = False) -> Match:
    """Whether a locked version is one the specifier means; total over any text.

    An npm range means prereleases only where it names one, as everywhere in npm; that of a ``ban`` means them all.
    """
    match ecosystem:
        case Ecosystem.PYPI:
            return _pypi_match(specifier, version)
        case Ecosystem.NPM:
            return _npm_match(specifier, version, prereleases=ban)
        case _:
            assert_never(ecosystem)


def exactly(specifier: str) -> Version | None:
    """The one version that a PEP 440 specifier of one ``==`` means. ``None`` for every other, and for one with a local
    version, which another comparison is about."""
    return plain_version(specifier[2:]) if specifier.startswith("==") else None


def plain_version(text: str) -> Version | None:
    """A Python version without a local part; ``None`` for other text. Equal ones are one in ``==``."""
    version = _pypi_version(text)
    return None if version is None or version.local is not None else version


def _pypi_specifier(text: str) -> str:
    try:
        return str(SpecifierSet(text))
    except InvalidSpecifier:
        hint = f"; one exact version is written =={text}" if _pypi_version(text) else ""
        raise RuleError(f"{text!r} is not a PEP 440 specifier{hint}", field="specifier") from None


def _npm_specifier(text: str) -> str:
    exact = npm_version(text.removeprefix("=").strip())
    if exact is not None:
        return str(exact)
    try:
        wanted = npm_range(text)
    except NpmRangeError as error:
        raise RuleError(f"not an npm range: {error}", field="specifier") from None
    if wanted.empty:
        raise RuleError(f"{text!r} is a range that no version is in", field="specifier")
    return " || ".join(" ".join(part.split()) for part in text.split("||")).strip()


def _is_specifier(ecosystem: Ecosystem, text: str) -> bool:
    try:
        parse_specifier(ecosystem, text)
    except RuleError:
        return False
    return True


def parse_hash(text: str, *, field: str = "hashes") -> str:
    """A SHA-256 as rules keep it. Raises ``RuleError``."""
    if not _SHA256.fullmatch(text):
        raise RuleError(f"{text[:80]!r} is not a SHA-256 in 64 lower-case hexadecimal digits", field=field)
    return text


@lru_cache(maxsize=16_384)
def _pypi_specifiers(text: str) -> SpecifierSet | None:
    # Cached because the rules of a workspace are compiled again under every epoch, nearly all of them unchanged.
    try:
        return SpecifierSet(text)
    except ValueError:
        return None


@lru_cache(maxsize=16_384)
def bounds_of(specifier: str) -> Bounds | None:
    """What a PEP 440 specifier asks of a release, as plain comparisons. ``None`` where that is not all there is to it.

    Nearly every rule and version are of this kind. The exceptions of PEP 440 to the order of versions are about pre-,
    post- and development releases and local versions, and about ``~=``, ``===`` and ``.*``.
    """
    bounds = []
    for one in _pypi_specifiers(specifier) or ():
        compare, bound = _COMPARISONS.get(one.operator), plain_version(one.version)
        if compare is None or bound is None:
            return None
        bounds.append((compare, bound))
    return tuple(bounds) or None


def is_release(version: Version) -> bool:
    """Neither a pre-, post- or development release nor a local version."""
    return version.pre is None and version.post is None and version.dev is None and version.local is None


@lru_cache(maxsize=16_384)
def _pypi_version(text: str) -> Version | None:
    try:
        return Version(text)
    except ValueError:  # InvalidVersion is one; so is what Python says to a number of more than 4,300 digits.
        return None


def _pypi_match(specifier: str, text: str) -> Match:
    version = _pypi_version(text)
    if version is None:
        return Match.CANNOT_TELL
    if specifier == f"=={text}":
        return Match.YES  # What an approval of a lock writes, a few hundred times for one lock: needs no parsing.
    specifiers = _pypi_specifiers(specifier)
    if specifiers is None:
        return Match.CANNOT_TELL
    return Match.YES if specifiers.contains(version, prereleases=True) else Match.NO


def _npm_match(specifier: str, text: str, *, prereleases: bool) -> Match:
    version = npm_version(text)
    if version is None:
        return Match.CANNOT_TELL
    if specifier in ("", text):
        return Match.YES
    try:
        # A range of one version ignores build metadata, and so does npm's registry: none can be published twice.
        return Match.YES if npm_range(specifier).admits(version, prereleases=prereleases) else Match.NO
    except NpmRangeError:
        return Match.CANNOT_TELL
