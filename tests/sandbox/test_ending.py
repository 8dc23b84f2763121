"""Which of several facts about an end is the one to act on."""

from __future__ import annotations

from dataclasses import asdict, replace

import orjson
import pytest
from skillyard.sandbox.ending import EndFacts, parse_facts, state_of
from skillyard.sandbox.guest.frames import FrameError
from skillyard.sandbox.outcome import OutcomeState

PLAIN = EndFacts(
    reported=None,
    reason=None,
    disk_full=False,
    exit_code=None,
    signal=None,
    killed_for=None,
    oom_kills=0,
    process_refusals=0,
    wall=0.1,
    cpu=0.1,
    peak=1,
    files=False,
)


@pytest.mark.parametrize(
    ("facts", "script", "state"),
    [
        ({"reported": "result"}, False, OutcomeState.SUCCEEDED),
        ({"exit_code": 0}, True, OutcomeState.SUCCEEDED),
        # A success stays one, whatever became of its subprocesses and folders.
        (
            {"reported": "result", "oom_kills": 1, "process_refusals": 1, "disk_full": True},
            False,
            OutcomeState.SUCCEEDED,
        ),
        # What a script's process says of itself does not make it a success, and no exit code makes a function one.
        ({"reported": "result", "exit_code": 1}, True, OutcomeState.FAILED),
        ({"exit_code": 0}, False, OutcomeState.FAILED),
        ({"reported": "result", "killed_for": "result"}, False, OutcomeState.OUTPUT_LIMIT),
        ({"killed_for": "stdout", "oom_kills": 1}, True, OutcomeState.OUTPUT_LIMIT),
        ({"killed_for": "cancel", "oom_kills": 1}, True, OutcomeState.CANCELLED),
        ({"killed_for": "guest", "oom_kills": 1}, True, OutcomeState.LOST),
        ({"killed_for": "timeout"}, True, OutcomeState.TIMED_OUT),
        ({"killed_for": "timeout", "disk_full": True}, True, OutcomeState.TIMED_OUT),
        # What it hung on is more use to know than that it hung.
        ({"killed_for": "timeout", "oom_kills": 1}, True, OutcomeState.OUT_OF_MEMORY),
        ({"killed_for": "timeout", "process_refusals": 3}, True, OutcomeState.PROCESS_LIMIT),
        ({"signal": 9, "oom_kills": 1, "process_refusals": 1}, True, OutcomeState.OUT_OF_MEMORY),
        ({"signal": 9}, True, OutcomeState.KILLED),
        ({"exit_code": 1, "disk_full": True}, True, OutcomeState.DISK_FULL),
        ({"exit_code": 1, "reported": "failed", "reason": "ValueError: x"}, True, OutcomeState.FAILED),
    ],
)
def test_the_strongest_fact_decides(facts: dict[str, object], script: bool, state: OutcomeState) -> None:
    found, reason = state_of(replace(PLAIN, **facts), script=script, timeout=1.0)
    assert found is state
    assert (reason is None) is (state is OutcomeState.SUCCEEDED)


def test_facts_survive_their_frame() -> None:
    assert parse_facts(orjson.dumps(asdict(PLAIN))) == PLAIN


@pytest.mark.parametrize(
    "change",
    [{"oom_kills": "1"}, {"killed_for": "boredom"}, {"extra": 1}, {"wall": [1]}, {"disk_full": None}],
)
def test_facts_of_another_shape_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(FrameError):
        parse_facts(orjson.dumps(asdict(PLAIN) | change))


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b"\xff"])
def test_what_is_no_object_is_refused(payload: bytes) -> None:
    with pytest.raises(FrameError):
        parse_facts(payload)
