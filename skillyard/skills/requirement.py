"""One requirement, as text, checked: what may be asked of an index by name and version, and nothing else.

Python requirements follow PEP 508, names PEP 503. npm requirements are ``name@range``. Anything that would fetch from
somewhere else than the configured index, or change that index, is refused with ``RequirementError``.
"""

from __future__ import annotations

import re

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from skillyard.skills.errors import RequirementError
from skillyard.skills.skill import DeclaredPackage, Ecosystem, Origin

MAX_PACKAGES = 256
MAX_REQUIREMENT_CHARACTERS = 500

_NPM_NAME = re.compile(r"(?:@[a-zA-Z0-9~-][a-zA-Z0-9._~-]*/)?[a-zA-Z0-9~-][a-zA-Z0-9._~-]*")
_NPM_RANGE = re.compile(r"[0-9A-Za-z.*^~<>=|+ -]*")
_NPM_MAX_NAME = 214
_VCS = re.compile(r"(?i)(git|hg|svn|bzr)\+|^git@|^github:|^gitlab:|^bitbucket:|^gist:")
_URL = re.compile(r"(?i)^[a-z][a-z0-9+.-]*:")
_PATH = re.compile(r"(?i)^(\.|/|~|[a-z]:[\\/])|[\\/]")
_ARCHIVE = re.compile(r"(?i)\.(whl|zip|tar|tgz|tar\.\w+)$")


def python_package(text: str, origin: Origin) -> DeclaredPackage:
    """A PEP 508 requirement by name; raises ``RequirementError`` for URLs, VCS addresses, paths and options."""
    text = text.strip()
    _check_size(text, origin)
    if text.startswith("-"):
        raise _refused(_option_problem(text), origin)
    name, at, address = text.partition("@")
    if at and re.fullmatch(r"[A-Za-z0-9._-]+\s*(\[[^\]]*\])?\s*", name):
        raise _refused(f"{_shown(text)}: {_address_kind(address.strip())} is not allowed; name a version", origin)
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise _refused(f"{_shown(text)}: {_why_not_python(text)}", origin) from error
    if _ARCHIVE.search(requirement.name):  # a valid name, but tools take it for a file beside them
        raise _refused(f"{_shown(text)}: a path is not allowed; name a version", origin)
    if requirement.url is not None:
        raise _refused(f"{_shown(text)}: a URL is not allowed; name a version", origin)
    requirement.name = canonicalize_name(requirement.name)
    return DeclaredPackage(Ecosystem.PYPI, requirement.name, str(requirement), origin)


def npm_package(name: str, wanted: str, origin: Origin) -> DeclaredPackage:
    """An npm name and version range or tag; raises ``RequirementError`` for anything not fetched by name."""
    text = f"{name}@{wanted}"
    _check_size(text, origin)
    if len(name) > _NPM_MAX_NAME or not _NPM_NAME.fullmatch(name):
        raise _refused(f"{_shown(name)} is not the name of an npm package", origin)
    if _VCS.search(wanted) or _URL.match(wanted) or "/" in wanted:
        raise _refused(f"{_shown(text)}: {_address_kind(wanted)} is not allowed; name a version", origin)
    if not _NPM_RANGE.fullmatch(wanted):
        raise _refused(f"{_shown(text)}: not a version range", origin)
    return DeclaredPackage(Ecosystem.NPM, name, f"{name}@{wanted.strip() or '*'}", origin)


def npm_requirement(text: str, origin: Origin) -> DeclaredPackage:
    """An npm requirement written as ``name``, ``name@range`` or ``@scope/name@range``."""
    text = text.strip()
    name, _at, wanted = text[1:].partition("@") if text.startswith("@") else text.partition("@")
    if text.startswith("@"):
        name = f"@{name}"
    if _VCS.search(text) or _URL.match(name):
        raise _refused(f"{_shown(text)}: {_address_kind(text)} is not allowed; name a version", origin)
    return npm_package(name, wanted, origin)


def _check_size(text: str, origin: Origin) -> None:
    if not text:
        raise _refused("an empty requirement", origin)
    if len(text) > MAX_REQUIREMENT_CHARACTERS:
        raise _refused(f"a requirement longer than {MAX_REQUIREMENT_CHARACTERS} characters", origin)


def _option_problem(text: str) -> str:
    option = re.split(r"[\s=]", text, maxsplit=1)[0]
    if option in {"-e", "--editable"}:
        return "editable requirements are not allowed; name a version"
    if option in {"-r", "--requirement", "-c", "--constraint"}:
        return f"{option} is not allowed; write the requirements in this file"
    if option in {"-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--no-index", "--trusted-host"}:
        return f"{option} is not allowed: the index is the operator's choice"
    return f"the option {_shown(option)} is not allowed"


def _why_not_python(text: str) -> str:
    if _VCS.search(text):
        return "a version control address is not allowed; name a version"
    if _URL.match(text):
        return "a URL is not allowed; name a version"
    if _PATH.search(text.partition(";")[0].partition("[")[0]):
        return "a path is not allowed; name a version"
    if text.endswith(","):
        return "not a requirement (PEP 508); separate requirements by spaces, not commas"
    return "not a requirement (PEP 508), for example pandas>=2,<3"


def _address_kind(address: str) -> str:
    if _VCS.search(address):
        return "a version control address"
    if address.startswith(("file:", "link:", "workspace:", ".", "/")):
        return "a path"
    return "a URL or alias"


def _shown(text: str) -> str:
    """The text in an error: short, and without what might be a credential in an address."""
    clean = re.sub(r"//[^/@\s]*@", "//…@", text)
    return repr(clean if len(clean) <= 100 else f"{clean[:100]}…")


def _refused(message: str, origin: Origin) -> RequirementError:
    return RequirementError(message, file=origin.file, line=origin.line, field=origin.field)
