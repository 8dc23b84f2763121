"""The picture: shows what the results say, longer bars for longer times, and nothing that is no time."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET  # our own output, never a stranger's
from typing import Any

import pytest
from benchmarks.chart import chart
from benchmarks.page import CHART
from benchmarks.results import read


def entry(name: str, p50: float, *, unit: str = "ms", **peers: float) -> dict[str, Any]:
    return {"name": name, "unit": unit, "ours": {"p50": p50}, "peers": peers, "floor": None}


def bars(svg: str) -> list[float]:
    return [float(width) for width in re.findall(r'<rect x="\d+" y="\d+" width="([\d.]+)"', svg)]


def test_ten_times_as_long_is_always_the_same_step() -> None:
    ours, fast, slow = bars(chart([entry("warm_call", 1.0, fast=10.0, slow=100.0)]))
    assert fast - ours == pytest.approx(slow - fast, abs=0.2)
    assert fast - ours > 50


def test_seconds_and_milliseconds_share_one_scale() -> None:
    (in_seconds, one), (in_ms, other) = (
        bars(chart([entry("cold_call", 1.0, unit=unit, peer=value)])) for unit, value in (("s", 10.0), ("ms", 10.0))
    )
    assert (in_seconds, one) == (in_ms, other)
    assert "10 s" in chart([entry("cold_call", 1.0, unit="s", peer=10.0)])


def test_what_is_no_time_is_left_out() -> None:
    svg = chart([entry("throughput", 500.0, unit="calls/s", exec=10.0), entry("warm_call", 1.0)])
    assert len(bars(svg)) == 1


def test_a_time_during_which_calls_failed_says_so() -> None:
    swap = entry("hot_swap", 300.0, restart=100.0) | {"peer_figures": {"restart": {"failed_calls": 22}}}
    assert "restart, 22 calls failed" in chart([swap])


def test_names_cannot_break_the_document() -> None:
    ET.fromstring(chart([entry("warm_call", 1.0, **{"<a & b>": 2.0})]))


def test_the_published_picture_is_of_the_published_results() -> None:
    assert CHART.read_text() == chart(read()), "run `make bench`"
