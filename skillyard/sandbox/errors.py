"""What can go wrong between a lock and a running sandbox. A skill's own failure is an ``Outcome``, not an error."""

from __future__ import annotations

from enum import StrEnum

from skillyard.errors import InputError, MachineError, SkillyardError


class SandboxError(SkillyardError):
    """The sandbox room could not do its part."""

    code = "sandbox"


class NotBegunError(SandboxError):
    """The sandbox went away before anything of a call began in it. Another sandbox can take the call."""

    code = "not_begun"


class EngineUnavailableError(MachineError):
    """The Docker Engine does not answer."""

    code = "engine_unavailable"


class ImageError(MachineError):
    """The base image could be neither pulled nor built."""

    code = "image"


class ResolveError(InputError):
    """The declared packages have no solution on the index (conflict, unknown name, no wheel for the target)."""

    code = "unresolvable"


class ResolverUnavailableError(MachineError):
    """The resolver or its index did not answer; nothing is known about the packages."""

    code = "resolver_unavailable"


class WheelError(SandboxError):
    """A wheel could not be fetched, does not match its hash, or its content does not match its RECORD."""

    code = "wheel"


class BuildFailure(StrEnum):
    """What kept a source archive from becoming a wheel."""

    ARCHIVE = "archive"
    """The archive is damaged, unsafe to unpack, or says nothing that can be built."""
    FAILED = "failed"
    """The package's own build ended with an error."""
    COMPILER_MISSING = "compiler_missing"
    """It wanted to compile, and there is no compiler where packages are built."""
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    PROCESS_LIMIT = "process_limit"
    OUTPUT_LIMIT = "output_limit"
    DISK_FULL = "disk_full"
    WHEEL = "wheel"
    """What it built is no sound wheel of that very package, version and target."""
    REFUSED = "refused"
    """The operator's setting allows no builds."""
    LOST = "lost"
    """The container went away without a word."""


class BuildError(SandboxError):
    """A package that exists only as source could not be built. ``failure`` says of what kind that was."""

    code = "build_failed"

    def __init__(self, message: str, *, failure: BuildFailure, stderr: str = "") -> None:
        self.failure = failure
        self.stderr = stderr
        super().__init__(f"{message}\n{stderr}" if stderr else message)


class DiskFullError(MachineError):
    """No space is left where environments are kept."""

    code = "disk_full"


class FileSystemError(MachineError):
    """The file system where environments are kept lacks something that is needed, such as hard links."""

    code = "file_system"


class StartError(SandboxError):
    """A container was started but its guest did not become ready. ``stderr`` holds what it printed last."""

    code = "start_failed"

    def __init__(self, message: str, *, stderr: str = "") -> None:
        self.stderr = stderr
        super().__init__(f"{message}\n{stderr}" if stderr else message)


class HealthError(SandboxError):
    """A version started but failed its check: an import fails or its entry does not exist."""

    code = "unhealthy"
