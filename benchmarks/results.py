"""Results as they are kept: one JSON list, one entry a claim, replaced by name."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.machine import commit, machine, now

RESULTS = Path(__file__).parent / "results.json"


@dataclass(frozen=True, slots=True)
class Result:
    """One claim, measured. ``peers`` and ``floor`` are in ``unit`` too, and comparable to ``ours["p50"]``.

    ``ours`` has ``p50`` and what else was measured, with its unit at the end of its name where that is another one.
    """

    name: str
    unit: str
    better: Literal["lower", "higher"]
    ours: Mapping[str, float]
    peers: Mapping[str, float]
    floor: float | None
    rounds: int
    peer_figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """What else was measured of a peer, as in ``ours``."""
    machine: Mapping[str, Any] = field(default_factory=machine)
    date: str = field(default_factory=now)
    commit: str = field(default_factory=commit)

    def ratio(self) -> dict[str, float]:
        """How many times better ours is than each peer; below 1, the peer is better."""
        mine = self.ours["p50"]
        return {
            name: round(value / mine if self.better == "lower" else mine / value, 2)
            for name, value in self.peers.items()
        }

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "better": self.better,
            "ours": dict(self.ours),
            "peers": dict(self.peers),
            "peer_figures": {name: dict(figures) for name, figures in self.peer_figures.items()},
            "ratio": self.ratio(),
            "floor": self.floor,
            "rounds": self.rounds,
            "date": self.date,
            "commit": self.commit,
            "machine": dict(self.machine),
        }

    def text(self) -> str:
        """For people: a line for ours, one for each peer, one for the floor."""
        lines = [f"{self.name} ({self.unit}, {self.better} is better)"]
        lines += [f"  ours {name}: {value:g}" for name, value in self.ours.items()]
        ratio = self.ratio()
        lines += [f"  {name}: {value:g} (ours is {ratio[name]:g} times better)" for name, value in self.peers.items()]
        lines += [
            f"  {peer}, {name}: {value:g}"
            for peer, figures in self.peer_figures.items()
            for name, value in figures.items()
        ]
        if self.floor is not None:
            lines.append(f"  floor: {self.floor:g}")
        return "\n".join(lines)


def write(result: Result, path: Path = RESULTS) -> None:
    """Put the result into the list in the place of the one with its name; the file is replaced as a whole."""
    kept = [entry for entry in read(path) if entry["name"] != result.name]
    entries = sorted([*kept, result.document()], key=lambda entry: str(entry["name"]))
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(entries, indent=2) + "\n")
    beside.replace(path)


def read(path: Path = RESULTS) -> list[dict[str, Any]]:
    """What was measured so far; nothing where there is no file yet."""
    entries: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return entries
