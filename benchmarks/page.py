"""The figures in ``docs/benchmarks.md`` and their picture: written from the results, never by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.chart import chart

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
CHART = PAGE.with_suffix(".svg")
_BEGIN, _END = "<!-- figures: written by `make bench` -->\n", "<!-- end of figures -->\n"
_UNITS = {"_ms": "ms", "_s": "s", "_mb": "MB", "_percent": "%"}
_COUNTS = ("calls", "swaps", "sandboxes", "found")
"""Figures whose names end so are plain numbers."""


def with_figures(text: str, entries: list[dict[str, Any]]) -> str:
    """The page with its figures replaced. Raises ``ValueError`` where a mark is missing."""
    head, begin, rest = text.partition(_BEGIN)
    _, end, tail = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{PAGE} lacks the marks between which figures are written")
    return head + begin + "\n" + "\n".join(_section(entry) for entry in entries) + end + tail


def write_page(entries: list[dict[str, Any]]) -> None:
    PAGE.write_text(with_figures(PAGE.read_text(), entries))
    CHART.write_text(chart(entries))


def _section(entry: dict[str, Any]) -> str:
    unit = entry["unit"]
    rows = [(f"ours, {_called(name)}", _figure(name, value, unit), "") for name, value in entry["ours"].items()]
    for peer, value in entry["peers"].items():
        rows.append((f"`{peer}`", f"{value:g} {unit}", f"{entry['ratio'][peer]:g} times"))
        for name, figure in entry.get("peer_figures", {}).get(peer, {}).items():
            rows.append((f"`{peer}`, {_called(name)}", _figure(name, figure, unit), ""))
    if entry["floor"] is not None:
        rows.append(("floor", f"{entry['floor']:g} {unit}", ""))
    table = "\n".join(f"| {name} | {figure} | {ratio} |" for name, figure, ratio in rows)
    machine = entry["machine"]
    on = (
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, Docker Engine {machine['docker']}, "
        f"cgroup {machine['cgroup']}, load average {machine['load']:g} with it"
    )
    return (
        f"### `{entry['name']}`: {unit}, {entry['better']} is better\n\n"
        f"| | | ours is better by |\n| --- | ---: | ---: |\n{table}\n\n"
        f"{entry['date'][:10]}, commit {entry['commit']}, {entry['rounds']} rounds; {on}.\n"
    )


def _called(name: str) -> str:
    for ending in _UNITS:
        name = name.removesuffix(ending)
    return name.replace("_", " ")


def _figure(name: str, value: float, unit: str) -> str:
    if name.endswith(_COUNTS) or "times_" in name:
        return f"{value:g}"
    return f"{value:g} {next((other for ending, other in _UNITS.items() if name.endswith(ending)), unit)}"
