"""What a built wheel says about itself (the core metadata specification), read from its unpacked files as data."""

from __future__ import annotations

from email.errors import MessageError
from email.parser import BytesParser
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from skillyard.sandbox.builds.recipe import SourceArchive, WheelMetadata
from skillyard.sandbox.errors import BuildError, BuildFailure
from skillyard.sandbox.tags import target_tags
from skillyard.skills.lock import Target

_MAX_METADATA = 1024 * 1024
_MAX_LINES = 1000


def unfit(message: str) -> BuildError:
    return BuildError(message, failure=BuildFailure.WHEEL)


def check_wheel_name(filename: str, source: SourceArchive, target: Target) -> None:
    """A wheel for this very package, version and target, by its file name. Raises ``BuildError`` (``WHEEL``)."""
    try:
        name, version, _, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        raise unfit(f"{source} was built to {filename}, which is no wheel's name") from error
    if name != source.name or version != Version(source.version):
        raise unfit(f"{source} was built to {filename}, which is another package or version")
    accepted: frozenset[Tag] = frozenset(target_tags(target))
    if not tags & accepted:
        raise unfit(f"{source} was built to {filename}, which is not for Python {target.python} on {target.platform}")


def read_metadata(files: Path, source: SourceArchive) -> WheelMetadata:
    """The metadata of an unpacked wheel; its name and version must be those of the source. Blocks.

    Requirements that name an address are refused: only packages of the index are allowed.
    """
    found = [folder for folder in files.iterdir() if folder.name.endswith(".dist-info")]
    file = found[0] / "METADATA" if len(found) == 1 else files / "METADATA"
    if not file.is_file() or file.stat().st_size > _MAX_METADATA:
        raise unfit(f"{source} was built to a wheel without METADATA of a sensible size")
    try:
        message = BytesParser().parsebytes(file.read_bytes(), headersonly=True)
        headers = [(key, str(value)) for key, value in message.items()]
    except MessageError as error:
        raise unfit(f"{source} was built to a wheel whose METADATA cannot be read") from error
    if len(headers) > _MAX_LINES:
        raise unfit(f"{source} was built to a wheel whose METADATA is too long")
    fields = {key.lower(): value for key, value in headers}
    if not _same(fields.get("name", ""), fields.get("version", ""), source):
        raise unfit(f"{source} was built to a wheel that calls itself something else")
    requires = tuple(_requirement(value, source) for key, value in headers if key.lower() == "requires-dist")
    extras = tuple(value for key, value in headers if key.lower() == "provides-extra")
    return WheelMetadata(source.name, source.version, requires, _python(fields.get("requires-python"), source), extras)


def _same(name: str, version: str, source: SourceArchive) -> bool:
    try:
        return canonicalize_name(name) == source.name and Version(version) == Version(source.version)
    except InvalidVersion:
        return False


def _requirement(text: str, source: SourceArchive) -> str:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise unfit(f"{source} asks for {text[:200]!r}, which is no requirement (PEP 508)") from error
    if requirement.url is not None:
        raise unfit(f"{source} asks for {requirement.name} at an address; only packages of the index are allowed")
    return str(requirement)


def _python(text: str | None, source: SourceArchive) -> str | None:
    try:
        return str(SpecifierSet(text)) if text else None
    except InvalidSpecifier as error:
        raise unfit(f"{source} asks for Python {text!r}, which is no specifier (PEP 440)") from error
