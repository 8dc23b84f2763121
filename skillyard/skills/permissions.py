"""What a skill asks for, and what it gets.

``Requested`` is read from the manifest. ``Granted`` is made by ``governance.policy`` alone, carried by an Allow, and
taken by a sandbox: code that starts a sandbox without a decision does not type-check, because it has no ``Granted``.
"""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Requested:
    """Permissions a manifest asks for (``skillyard.network``, ``skillyard.memory``, ``skillyard.timeout``).

    ``None`` means that the manifest says nothing. Hosts are names the skill says it talks to.
    """

    network_hosts: tuple[str, ...] = ()
    memory_bytes: int | None = None
    timeout_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Granted:
    """The limits a sandbox enforces for one skill version. Bytes, seconds and counts; nothing is unlimited.

    There is no network permission yet: every sandbox runs without a network.
    """

    memory_bytes: int
    timeout_seconds: float
    processes: int
    cpu_shares: int
    cpu_quota: float | None
    """CPUs; ``None`` weighs by shares only."""
    scratch_bytes: int
    """Size of each writable tmpfs; its pages count against ``memory_bytes``."""
    stream_bytes: int
    """Most that standard output or standard error may each carry in one call."""
    result_bytes: int
    artefact_bytes: int
    """Most that all files handed back by one call may hold together."""
    open_files: int
    file_bytes: int
    """Largest file a call may write (``RLIMIT_FSIZE``)."""
    single_use: bool = False
    """Whether a sandbox serves one call and is stopped then."""
