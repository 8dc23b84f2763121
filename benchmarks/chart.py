"""A picture of the latencies: bars on a logarithmic scale, as SVG, made from the results and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

_IN_MS: Mapping[str, float] = {"ms": 1.0, "s": 1000.0}
_TITLES: Mapping[str, str] = {
    "warm_call": "a warm call",
    "warm_call_heavy": "a warm call, pandas and scikit-learn imported",
    "cold_call": "a call that finds no container",
    "hot_swap": "until a new version serves",
    "install_first_result": "a new skill, to its first result",
}
_WIDTH, _LABELS, _VALUES = 860, 240, 90
_BAR, _STEP, _GROUP, _TOP, _BOTTOM = 16, 22, 44, 20, 44
_OURS, _PEER, _FLOOR, _GRID, _TEXT = "#0b7285", "#adb5bd", "#ffffff", "#e9ecef", "#212529"
_STYLE = "font-family:ui-sans-serif,system-ui,'Segoe UI','DejaVu Sans',Helvetica,Arial,sans-serif;font-size:13px"


@dataclass(frozen=True, slots=True)
class _Bar:
    label: str
    milliseconds: float
    fill: str


@dataclass(frozen=True, slots=True)
class _Scale:
    """Powers of ten of milliseconds, from ``low`` to ``high``, over the width that is left for bars."""

    low: int
    high: int

    def x(self, milliseconds: float) -> float:
        share = (math.log10(milliseconds) - self.low) / (self.high - self.low)
        return round(_LABELS + share * (_WIDTH - _LABELS - _VALUES), 1)


def chart(entries: list[dict[str, Any]]) -> str:
    """The whole SVG document. Claims that are no latency are left out."""
    by_name = {entry["name"]: entry for entry in entries if entry["unit"] in _IN_MS}
    groups = [(title, _bars(by_name[name])) for name, title in _TITLES.items() if name in by_name]
    values = [bar.milliseconds for _, bars in groups for bar in bars] or [1.0]
    low, high = math.floor(math.log10(min(values) / 2)), math.ceil(math.log10(max(values)))
    scale = _Scale(low, max(high, low + 1))
    parts, y = [], _TOP
    for title, bars in groups:
        parts.append(_text(12, y + 14, title, weight="600"))
        y += _STEP
        for bar in bars:
            parts.append(_drawn(bar, y, scale))
            y += _STEP
        y += _GROUP - _STEP
    return _document(_grid(scale, y) + "".join(parts), height=y + _BOTTOM)


def _bars(entry: dict[str, Any]) -> list[_Bar]:
    factor = _IN_MS[entry["unit"]]
    bars = [_Bar(f"Skillyard{_failed(entry['ours'])}", entry["ours"]["p50"] * factor, _OURS)]
    for name, value in sorted(entry["peers"].items(), key=lambda item: item[1]):
        bars.append(_Bar(f"{name}{_failed(entry.get('peer_figures', {}).get(name, {}))}", value * factor, _PEER))
    if entry["floor"] is not None and entry["floor"] not in entry["peers"].values():
        bars.append(_Bar("floor", entry["floor"] * factor, _FLOOR))
    return bars


def _failed(figures: Mapping[str, float]) -> str:
    """A time says little where calls failed meanwhile."""
    return f", {figures['failed_calls']:g} calls failed" if "failed_calls" in figures else ""


def _drawn(bar: _Bar, y: int, scale: _Scale) -> str:
    end = scale.x(bar.milliseconds)
    weight = "600" if bar.fill == _OURS else "400"
    return (
        _text(_LABELS - 10, y + 12, bar.label, weight=weight, anchor="end")
        + f'<rect x="{_LABELS}" y="{y}" width="{max(1.0, round(end - _LABELS, 1))}" height="{_BAR}" rx="2" '
        + f'fill="{bar.fill}" stroke="{_PEER if bar.fill == _FLOOR else bar.fill}"/>'
        + _text(end + 7, y + 12, _time(bar.milliseconds), weight=weight)
    )


def _grid(scale: _Scale, bottom: int) -> str:
    lines = []
    for power in range(scale.low, scale.high + 1):
        x = scale.x(10.0**power)
        lines.append(f'<line x1="{x}" y1="{_TOP}" x2="{x}" y2="{bottom}" stroke="{_GRID}"/>')
        lines.append(_text(x, bottom + 18, _time(10.0**power), anchor="middle"))
    return "".join(lines)


def _time(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.3g} s" if milliseconds >= 1000 else f"{milliseconds:.3g} ms"


def _text(x: float, y: float, text: str, *, weight: str = "400", anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y:g}" font-weight="{weight}" text-anchor="{anchor}">{escape(text)}</text>\n'


def _document(content: str, *, height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" style="{_STYLE}" fill="{_TEXT}">\n'
        "<title>Times, on a logarithmic scale; shorter is better</title>\n"
        f'<rect width="{_WIDTH}" height="{height}" rx="8" fill="#ffffff"/>\n{content}'
        f"{_text(_LABELS, height - 8, 'logarithmic scale; shorter is better')}</svg>\n"
    )
