"""Calls over time, drawn: which version answered, and how long the slowest call of each moment took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 60
_BARS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Answered:
    """One call: the version that answered it, when its answer came, and how long it took, in seconds."""

    version: str
    at: float
    seconds: float


def draw(calls: Sequence[Answered], width: int = WIDTH) -> list[str]:
    """A line for each version, the number of its answers as height, and one for the slowest call. Earlier is left."""
    if not calls:
        return []
    first = min(call.at for call in calls)
    span = max(max(call.at for call in calls) - first, 1e-9)

    def column(call: Answered) -> int:
        return min(int((call.at - first) / span * width), width - 1)

    versions = sorted({call.version for call in calls})
    counts = {version: [0] * width for version in versions}
    slowest = [0.0] * width
    for call in calls:
        counts[call.version][column(call)] += 1
        slowest[column(call)] = max(slowest[column(call)], call.seconds)
    most = max(max(row) for row in counts.values())
    label = max(len(version) for version in (*versions, "slowest"))
    lines = [f"{version:>{label}} {_bars(counts[version], most)}" for version in versions]
    lines.append(f"{'slowest':>{label}} {_bars(slowest, max(slowest))} up to {max(slowest) * 1000:.0f} ms")
    lines.append(f"{'':>{label}} 0 s {f'{span:.1f} s':>{max(width - 4, 1)}}")
    return lines


def _bars(values: Sequence[float], most: float) -> str:
    """What is there at all is drawn, however small."""
    steps = len(_BARS) - 1
    heights = (0 if value <= 0 else max(1, round(value / most * steps)) for value in values)
    return "".join(_BARS[height] for height in heights)
