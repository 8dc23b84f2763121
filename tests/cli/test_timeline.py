"""The drawing of calls over time: who answered when, and nothing left out for being rare."""

from __future__ import annotations

from skillyard.cli.demo.timeline import Answered, draw


def test_each_version_is_drawn_where_it_answered() -> None:
    calls = [Answered("1.0.0", at, 0.01) for at in (0.0, 1.0, 2.0)] + [Answered("1.1.0", 3.0, 0.2)]
    old, new, slowest, scale = draw(calls, width=4)
    assert old == "  1.0.0 ███ "
    assert new == "  1.1.0    █"
    assert slowest == "slowest ▁▁▁█ up to 200 ms"
    assert scale.split() == ["0", "s", "3.0", "s"]


def test_one_call_among_many_is_still_seen() -> None:
    calls = [Answered("1.0.0", 0.0, 0.01)] * 1000 + [Answered("1.1.0", 1.0, 0.01)]
    assert draw(calls, width=2)[1] == "  1.1.0  ▁"


def test_no_calls_are_no_drawing() -> None:
    assert draw([]) == []
