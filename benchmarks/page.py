"""The figures in ``docs/benchmarks.md``: written from the results, between two marks, never by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
_BEGIN, _END = "<!-- figures: written by `make bench` -->\n", "<!-- end of figures -->\n"


def with_figures(text: str, entries: list[dict[str, Any]]) -> str:
    """The page with its figures replaced. Raises ``ValueError`` where a mark is missing."""
    head, begin, rest = text.partition(_BEGIN)
    _, end, tail = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{PAGE} lacks the marks between which figures are written")
    return head + begin + "\n" + "\n".join(_section(entry) for entry in entries) + end + tail


def write_page(entries: list[dict[str, Any]]) -> None:
    PAGE.write_text(with_figures(PAGE.read_text(), entries))


def _section(entry: dict[str, Any]) -> str:
    unit = entry["unit"]
    rows = [(_ours(name), _figure(name, value, unit), "") for name, value in entry["ours"].items()]
    rows += [
        (f"`{name}`", f"{value:g} {unit}", f"{entry['ratio'][name]:g} times") for name, value in entry["peers"].items()
    ]
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


def _ours(name: str) -> str:
    return "ours, " + name.removesuffix("_ms").replace("_", " ")


def _figure(name: str, value: float, unit: str) -> str:
    return f"{value:g} ms" if name.endswith("_ms") else f"{value:g} {unit}"
