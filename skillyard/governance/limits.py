"""What a sandbox may use: defaults and maxima of the instance, and how a skill's wishes are narrowed to them."""

from __future__ import annotations

from dataclasses import dataclass

from skillyard.governance.decision import Reason
from skillyard.settings import Settings
from skillyard.skills.permissions import MIB, Granted, Requested

MEMORY_MIN = 64 * MIB
"""Less than this starts no interpreter with packages; a smaller wish is raised to it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Defaults and maxima of ``Granted``. Bytes, seconds and counts."""

    memory_bytes: int = 512 * MIB
    memory_max_bytes: int = 2048 * MIB
    timeout_seconds: float = 60.0
    timeout_max_seconds: float = 600.0
    processes: int = 64
    cpu_shares: int = 1024
    cpu_quota: float | None = None
    scratch_max_bytes: int = 64 * MIB
    stream_bytes: int = 1 * MIB
    result_bytes: int = 8 * MIB
    artefact_bytes: int = 64 * MIB
    open_files: int = 1024
    file_bytes: int = 64 * MIB

    @classmethod
    def from_settings(cls, settings: Settings) -> Limits:
        return cls(
            memory_bytes=settings.skill_memory_mib * MIB,
            memory_max_bytes=settings.skill_memory_max_mib * MIB,
            timeout_seconds=settings.skill_timeout,
            timeout_max_seconds=settings.skill_timeout_max,
            processes=settings.skill_processes,
            cpu_shares=settings.skill_cpu_shares,
            cpu_quota=settings.skill_cpu_quota,
        )


def narrow(requested: Requested, limits: Limits) -> tuple[Granted, tuple[Reason, ...]]:
    """What a skill gets of what it asks for, and a reason for each wish that is not met in full.

    Memory and time-out are met up to the maxima, a network never. Each writable tmpfs gets a quarter of the memory at
    most, because its pages count against the memory and there are three of them.
    """
    memory, memory_reasons = _memory(requested.memory_bytes, limits)
    timeout, timeout_reasons = _timeout(requested.timeout_seconds, limits)
    granted = Granted(
        memory_bytes=memory,
        timeout_seconds=timeout,
        processes=limits.processes,
        cpu_shares=limits.cpu_shares,
        cpu_quota=limits.cpu_quota,
        scratch_bytes=min(limits.scratch_max_bytes, memory // 4),
        stream_bytes=limits.stream_bytes,
        result_bytes=limits.result_bytes,
        artefact_bytes=limits.artefact_bytes,
        open_files=limits.open_files,
        file_bytes=limits.file_bytes,
    )
    return granted, memory_reasons + timeout_reasons + _network(requested.network_hosts)


def _memory(wish: int | None, limits: Limits) -> tuple[int, tuple[Reason, ...]]:
    if wish is None:
        return min(limits.memory_bytes, limits.memory_max_bytes), ()
    if wish > limits.memory_max_bytes:
        most = limits.memory_max_bytes // MIB
        text = f"The skill asks for {wish // MIB} MiB of memory and gets the maximum, {most} MiB."
        return limits.memory_max_bytes, (Reason("memory_narrowed", text),)
    if wish < MEMORY_MIN:
        text = f"The skill asks for {wish} bytes of memory and gets the minimum, {MEMORY_MIN // MIB} MiB."
        return MEMORY_MIN, (Reason("memory_raised", text),)
    return wish, ()


def _timeout(wish: float | None, limits: Limits) -> tuple[float, tuple[Reason, ...]]:
    default = min(limits.timeout_seconds, limits.timeout_max_seconds)
    if wish is None:
        return default, ()
    if not wish > 0:  # Written so that a NaN lands here too.
        return default, (
            Reason("timeout_ignored", f"A time-out of {wish} seconds means nothing; it is {default:g} s."),
        )
    if wish > limits.timeout_max_seconds:
        text = f"The skill asks for {wish:g} s a call and gets the maximum, {limits.timeout_max_seconds:g} s."
        return limits.timeout_max_seconds, (Reason("timeout_narrowed", text),)
    return wish, ()


def _network(hosts: tuple[str, ...]) -> tuple[Reason, ...]:
    if not hosts:
        return ()
    text = f"The skill says it talks to {', '.join(hosts)}; sandboxes have no network, so that it cannot."
    return (Reason("network_refused", text),)
