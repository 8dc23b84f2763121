"""What can be wrong with a skill's files, its declarations and its sources."""

from __future__ import annotations

from skillyard.errors import InputError, MachineError


class SkillError(InputError):
    """A skill's folder or one of its files is refused; names file, line and field."""

    code = "invalid_skill"


class BundleTooLargeError(SkillError):
    """A bundle holds at most 512 files and 16 MiB, a file at most 10 MiB."""

    code = "bundle_too_large"


class UnsafePathError(SkillError):
    """A path leaves the skill's folder, is absolute, or names a link, device or other special file."""

    code = "unsafe_path"


class RequirementError(SkillError):
    """A declared package is refused: a URL, file, VCS or index-changing requirement, or one that does not parse."""

    code = "invalid_requirement"


class LockFormatError(SkillError):
    """A ``pylock.toml`` does not follow the standard, or lacks hashes."""

    code = "invalid_lock"


class UnsoundLockError(LockFormatError, ValueError):
    """A lock names what no package, file or target can be called."""


class SourceSpecError(InputError):
    """What was said about where a skill comes from cannot be used: an address, a ref or a folder in it."""

    code = "invalid_source"


class SourceError(MachineError):
    """A skill could not be fetched from where it was said to be."""

    code = "source_unavailable"
