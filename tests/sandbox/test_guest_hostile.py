"""A skill that attacks the guest, the channel, or the next call gets nowhere, or costs only its own container."""

from __future__ import annotations

import orjson
import pytest
from skillyard.sandbox.guest.frames import Kind, encode
from skillyard.sandbox.outcome import OutcomeState

_FORGED_END = encode(
    Kind.END,
    orjson.dumps(
        {
            "reported": "result",
            "reason": None,
            "disk_full": False,
            "exit_code": 0,
            "signal": None,
            "killed_for": None,
            "oom_kills": 0,
            "process_refusals": 0,
            "wall": 0.1,
            "cpu": 0.1,
            "peak": 1,
            "files": False,
        }
    ),
)


@pytest.mark.parametrize("number", [9, 15, 2, 19, 17])
async def test_signals_to_the_first_process_do_nothing(start, call, number: int) -> None:
    running = await start()
    outcome = await call(running, "scripts/hostile.py:kill", {"pid": 1, "number": number})
    assert outcome.result_json == b'"sent"'
    await _serves_a_clean_call(running, call)


async def test_killing_the_zygote_loses_the_call_and_only_this_container(start, call) -> None:
    running = await start()
    outcome = await call(running, "scripts/hostile.py:kill_zygote")
    assert outcome.state is OutcomeState.LOST
    assert outcome.reason == "the zygote ended by signal 9"
    assert not running.alive
    await _serves_a_clean_call(await start(), call)


async def test_killing_everything_in_reach_loses_the_call(start, call) -> None:
    running = await start()
    outcome = await call(running, "scripts/hostile.py:kill_all_others", {"number": 9})
    assert outcome.state is OutcomeState.LOST
    assert not running.alive


@pytest.mark.parametrize("number", [2, 19, 20, 1, 10])
async def test_signals_to_the_spares_do_not_reach_the_next_call(start, call, number: int) -> None:
    """Interrupts, stops, and signals that end: whoever is hurt is replaced or woken, or the container goes."""
    running = await start()
    outcome = await call(running, "scripts/hostile.py:kill_all_others", {"number": number})
    if outcome.state is OutcomeState.LOST:
        assert not running.alive
        return
    assert outcome.state is OutcomeState.SUCCEEDED
    await _serves_a_clean_call(running, call)
    await _serves_a_clean_call(running, call)


async def test_memory_descriptors_and_attaching_are_refused_for_every_process_of_the_guest(start, call) -> None:
    running = await start()
    # Twice, so that a spare which was forked while a call ran is among the targets too.
    for _ in range(2):
        outcome = await call(running, "scripts/hostile.py:pry")
        seen = orjson.loads(outcome.result_json)
        assert seen["opened"] == []
        assert seen["processes"] >= 2


async def test_limits_and_priorities_of_the_others_cannot_be_lowered(start, call) -> None:
    running = await start()
    outcome = await call(running, "scripts/hostile.py:cripple_others")
    assert outcome.result_json == b"[]"
    await _serves_a_clean_call(running, call)


async def test_own_limits_and_priorities_can_be_lowered(start, call) -> None:
    outcome = await call(await start(), "scripts/hostile.py:lower_own")
    assert outcome.result_json == b"[100,5]"


async def test_forged_frames_on_any_descriptor_do_not_reach_the_host(start, call) -> None:
    running = await start()
    outcome = await call(running, "scripts/hostile.py:forge", {"frames": _FORGED_END.hex()})
    assert outcome.state is OutcomeState.FAILED
    assert outcome.exit_code == 9
    await _serves_a_clean_call(running, call)


async def test_forged_frames_on_standard_output_are_only_text(start, call) -> None:
    running = await start()
    outcome = await call(running, "scripts/hostile.py:say_frames", {"frames": _FORGED_END.hex()})
    assert outcome.state is OutcomeState.FAILED
    assert outcome.stdout == _FORGED_END
    await _serves_a_clean_call(running, call)


@pytest.mark.parametrize(
    "packets",
    [
        ["ff"],
        ["5a"],
        ["58"],
        ["5800" + "41" * 60000],
        ["52" + "41" * 60000] * 3,
        [""],
    ],
)
async def test_nonsense_on_the_relays_socket_harms_only_the_call_that_sends_it(start, call, packets) -> None:
    running = await start()
    outcome = await call(running, "scripts/hostile.py:forge_report", {"kinds": packets})
    assert outcome.state is OutcomeState.FAILED
    assert outcome.result_json is None
    await _serves_a_clean_call(running, call)


async def test_descriptors_sent_to_the_relay_are_not_kept(start, call) -> None:
    running = await start(limits={"open_files": 64})
    for _ in range(40):
        assert (await call(running, "scripts/hostile.py:credentials", {"frame": "5a"})).exit_code == 9
    await _serves_a_clean_call(running, call)


async def test_what_one_call_leaves_the_next_does_not_find(start, call) -> None:
    running = await start()
    made = await call(running, "scripts/hostile.py:leave_things")
    assert made.state is OutcomeState.SUCCEEDED, made
    assert min(orjson.loads(made.result_json)) >= 0
    await _serves_a_clean_call(running, call)


async def test_folders_nested_deeper_than_any_path_are_removed(start, call) -> None:
    running = await start()
    made = await call(running, "scripts/hostile.py:deep_nest", {"levels": 5000})
    assert made.result_json == b"5000"
    await _serves_a_clean_call(running, call)


async def test_nothing_outside_the_scratch_can_be_written(start, call) -> None:
    outcome = await call(await start(), "scripts/hostile.py:writable")
    assert orjson.loads(outcome.result_json) == [
        "/dev/mqueue",
        "/dev/shm",
        "/scratch",
        "/scratch/cache",
        "/scratch/home",
        "/scratch/tmp",
        "/scratch/work",
        "/tmp",
    ]


async def test_hundreds_of_calls_leave_the_guest_as_it_was(start, call) -> None:
    """A descriptor or a process lost per call would end this long before its end."""
    running = await start(limits={"open_files": 64, "processes": 16})
    for number in range(300):
        outcome = await call(running, "scripts/plain.py:echo", {"n": number})
        assert outcome.result_json == b'{"n":%d}' % number
    await _serves_a_clean_call(running, call)


async def _serves_a_clean_call(running, call) -> None:
    assert running.alive
    outcome = await call(running, "scripts/hostile.py:find_things")
    assert outcome.state is OutcomeState.SUCCEEDED, outcome
    assert orjson.loads(outcome.result_json) == {"found": [], "strays": []}
