"""What the host says about memory and processor time: procfs, and control groups of both versions.

Only for an engine on this machine.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_TICKS = os.sysconf("SC_CLK_TCK")


def available_memory() -> int:
    """Bytes that could be given to new processes without swapping (``MemAvailable``)."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not tell how much memory is available")


def processes(*names: str) -> tuple[int, ...]:
    """Process ids of everything that is called one of ``names``."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if (folder / "comm").read_text().strip() in names:
                    found.append(int(folder.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return tuple(found)


def parent(pid: int) -> int:
    return int(_stat(pid)[1])


def proportional_memory(pid: int) -> int:
    """Bytes in memory, shared ones divided by who shares them."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"the kernel does not tell how much memory process {pid} uses")


def process_seconds(pid: int) -> float:
    """Processor time of one process so far."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _stat(pid: int) -> list[str]:
    """Fields of ``stat`` behind the name, which may itself hold spaces: state, parent, …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """The control group of one process."""

    memory: Path
    processor: Path
    unified: bool

    @classmethod
    def of(cls, pid: int) -> ControlGroup:
        groups: dict[str, str] = {}
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            groups |= dict.fromkeys(controllers.split(","), path.lstrip("/"))
        if "memory" in groups:
            return cls(_CGROUPS / "memory" / groups["memory"], _CGROUPS / "cpuacct" / groups["cpuacct"], unified=False)
        return cls(_CGROUPS / groups[""], _CGROUPS / groups[""], unified=True)

    def charged(self) -> int:
        """Bytes that count against its limit: of processes, of the kernel on their behalf, and of file caches."""
        return int((self.memory / ("memory.current" if self.unified else "memory.usage_in_bytes")).read_text())

    def anonymous(self) -> int:
        """Bytes of its processes that belong to no file."""
        wanted = "anon" if self.unified else "total_rss"
        return int(self._listed(self.memory / "memory.stat")[wanted])

    def seconds(self) -> float:
        """Processor time so far."""
        if self.unified:
            return int(self._listed(self.processor / "cpu.stat")["usage_usec"]) / 1e6
        return int((self.processor / "cpuacct.usage").read_text()) / 1e9

    @staticmethod
    def _listed(file: Path) -> dict[str, str]:
        return dict(line.split() for line in file.read_text().splitlines())
