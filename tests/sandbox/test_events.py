"""What a skill says while it runs arrives as it was meant, within limits, and is never taken for anything else."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from skillyard.sandbox.events import Emitted, EventError, Logged, LogLevel, Output, Progressed, parse_events
from skillyard.sandbox.outcome import Call, OutcomeState


def events(seen: list[Emitted]) -> list[Progressed | Logged]:
    return [one for one in seen if not isinstance(one, Output)]


async def test_a_function_tells_progress_and_log_lines_while_it_runs(start, call) -> None:
    seen: list[Emitted] = []
    outcome = await call(await start(), "scripts/saying.py:reads", on_output=seen.append)
    assert outcome.state is OutcomeState.SUCCEEDED
    assert outcome.result_json == b"4"
    assert events(seen) == [
        *(Progressed(done, 4, f"row {done}") for done in range(1, 5)),
        Logged(LogLevel.WARNING, "two rows are empty", {"rows": [4, 9]}),
    ]
    assert (outcome.stdout, outcome.stderr) == (b"", b"")


async def test_events_come_before_the_call_ends(start, entry) -> None:
    running = await start()
    first: asyncio.Future[Emitted] = asyncio.get_running_loop().create_future()
    call = asyncio.create_task(
        running.call(
            Call(entry=entry("scripts/saying.py:waits_for_ever")), lambda e: first.done() or first.set_result(e)
        )
    )
    assert await first == Logged(LogLevel.INFO, "started")
    assert not call.done()
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call


async def test_a_loop_that_tells_progress_each_time_costs_few_events_and_ends_at_its_total(start, call) -> None:
    seen: list[Emitted] = []
    outcome = await call(await start(), "scripts/saying.py:hurries", {"total": 100_000}, on_output=seen.append)
    assert outcome.state is OutcomeState.SUCCEEDED
    assert len(seen) < 1000
    assert seen[-1] == Progressed(100_000, 100_000)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            "scripts/saying.sh",
            [
                Progressed(1, 2, "reading"),
                Logged(LogLevel.INFO, "one"),
                Logged(LogLevel.ERROR, "two"),
                Progressed(2, 2),
            ],
        ),
        ("scripts/saying.py", [Progressed(1, 2), Logged(LogLevel.NOTICE, "from a script")]),
    ],
)
async def test_scripts_tell_as_well_up_to_their_last_moment(start, call, entry: str, expected: list[Any]) -> None:
    running = await start()
    for _ in range(5):
        seen: list[Emitted] = []
        outcome = await call(running, entry, on_output=seen.append)
        assert (outcome.state, outcome.exit_code, outcome.stderr) == (OutcomeState.SUCCEEDED, 0, b"")
        assert seen == expected
        assert outcome.result_json is None


async def test_threads_and_forked_processes_tell_too(start, call) -> None:
    seen: list[Emitted] = []
    await call(await start(), "scripts/saying.py:from_a_thread_and_a_fork", on_output=seen.append)
    assert events(seen) == [Logged(LogLevel.INFO, "a thread"), Logged(LogLevel.INFO, "a fork")]


async def test_what_is_too_long_is_shortened_by_the_module_and_says_so(start, call) -> None:
    seen: list[Emitted] = []
    outcome = await call(await start(), "scripts/saying.py:logs_much", {"size": 10_000}, on_output=seen.append)
    assert outcome.state is OutcomeState.SUCCEEDED
    (line,) = seen
    assert isinstance(line, Logged)
    assert line.data is None
    assert line.message.startswith("xxxx")
    assert line.message.endswith("(its data is larger than 8192 bytes)")


@pytest.mark.parametrize("what", ["level", "number", "data"])
async def test_misuse_of_the_module_is_an_error_where_it_happens(start, call, what: str) -> None:
    seen: list[Emitted] = []
    outcome = await call(await start(), "scripts/saying.py:misuses", {"what": what}, on_output=seen.append)
    assert outcome.state is OutcomeState.FAILED
    assert events(seen) == []


async def test_an_event_that_is_none_is_told_once_and_costs_nothing_else(start, call) -> None:
    seen: list[Emitted] = []
    packets = ["{not json", '{"type":"log","level":"loud","message":"x"}', '{"type":"progress","progress":7}']
    outcome = await call(await start(), "scripts/saying.py:raw", {"packets": packets}, on_output=seen.append)
    assert outcome.state is OutcomeState.SUCCEEDED
    warning, progress = seen
    assert isinstance(warning, Logged)
    assert (warning.level, warning.message[:48]) == (
        LogLevel.WARNING,
        "skillyard: an event of the skill is left out: it",
    )
    assert progress == Progressed(7)


@pytest.mark.parametrize(("size", "count"), [(9000, 1), (4000, 300), (1, 20_000)])
async def test_too_much_of_it_ends_the_call(start, call, size: int, count: int) -> None:
    running = await start()
    seen: list[Emitted] = []
    outcome = await call(running, "scripts/saying.py:floods", {"size": size, "count": count}, on_output=seen.append)
    assert outcome.state is OutcomeState.OUTPUT_LIMIT
    assert outcome.reason == "a progress or log event, or all of them together, passed its size limit"
    assert sum(max(64, size) for _ in events(seen)) <= 1024 * 1024
    assert (await call(running, "scripts/plain.py:echo")).state is OutcomeState.SUCCEEDED


async def test_a_call_that_never_tells_anything_is_what_it_was(start, call) -> None:
    seen: list[Emitted] = []
    outcome = await call(await start(), "scripts/plain.py:echo", {"a": 1}, on_output=seen.append)
    assert (outcome.state, seen) == (OutcomeState.SUCCEEDED, [])


@pytest.mark.parametrize(
    "packet",
    [
        b"[]",
        b"{",
        b"{}",
        b'{"type":"result","result":1}',
        b'{"type":"progress"}',
        b'{"type":"progress","progress":"1"}',
        b'{"type":"progress","progress":true}',
        b'{"type":"progress","progress":1,"total":[]}',
        b'{"type":"progress","progress":1,"message":2}',
        b'{"type":"progress","progress":1,"more":2}',
        b'{"type":"log","level":"info"}',
        b'{"type":"log","level":[],"message":"x"}',
        b'{"type":"log","level":"info","message":{}}',
        b'{"type":"log","level":"info","message":"\xff"}',
        b'{"type":"log","level":"info","message":"x","data":NaN}',
        b'{"type":"log","level":"info","message":"x","data":' + b"[" * 4000 + b"]" * 4000 + b"}",
    ],
)
def test_nothing_but_the_known_shapes_is_an_event(packet: bytes) -> None:
    with pytest.raises(EventError):
        list(parse_events(packet))
