"""The processes that conduct calls, and the channel: whoever gets at those gets at the next call, or at the host."""

from __future__ import annotations

import signal
import time

import orjson
import pytest
from skillyard.sandbox.guest.frames import Kind, encode
from skillyard.sandbox.outcome import OutcomeState

pytestmark = pytest.mark.asyncio(loop_scope="session")

_REFUSED = {"EPERM", "EACCES", "ESRCH", "ENOENT"}
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
FORGED = encode(Kind.RESULT, b'"forged"') + _FORGED_END


# Looking into them, steering them


async def test_nothing_of_the_guest_can_be_attached_to_or_looked_into(target) -> None:
    """ptrace, memory, descriptors, environment, root: of relay, zygote and spares (``PR_SET_DUMPABLE`` 0)."""
    for _ in range(2):  # Again, with spares that were forked while a call ran.
        seen = await target.tell("guest.py:attach")
        assert seen["worked"] == []
        assert set(seen["refused"]) <= _REFUSED
        assert len(seen["pids"]) >= 2


@pytest.mark.parametrize("writing", [False, True])
async def test_memory_of_the_guest_cannot_be_read_or_written(target, writing: bool) -> None:
    assert set((await target.tell("guest.py:vm", {"writing": writing})).values()) <= {"EPERM", "ESRCH"}


async def test_descriptors_of_the_guest_cannot_be_taken(target) -> None:
    assert set(await target.tell("guest.py:steal_descriptors")) <= {"EPERM", "ESRCH"}


async def test_resource_limits_of_the_guest_cannot_be_changed(target) -> None:
    """One prlimit of no CPU time would end the relay: without our filter the kernel lets it through."""
    assert set(await target.tell("guest.py:limits")) <= {"EPERM", "ESRCH"}


async def test_priorities_of_the_guest_cannot_be_changed(target) -> None:
    assert set(await target.tell("guest.py:priorities")) <= {"EPERM", "ESRCH"}


async def test_the_memory_killers_order_cannot_be_turned_round(target) -> None:
    answers = await target.tell("guest.py:oom_order")
    assert set(answers.pop("others")) <= {"EACCES", "ENOENT"}
    assert answers == {"never": "EACCES"}


async def test_nothing_of_the_guest_can_be_written_in_proc(target) -> None:
    assert set(await target.tell("guest.py:proc_writes")) <= {"EACCES", "EPERM", "EROFS", "ENOENT", "ESRCH"}


async def test_processors_taken_from_the_guest_are_given_back(target) -> None:
    """The kernel lets processes of one user do this to each other: it is undone after the call."""
    before = await target.tell("guest.py:processors")
    assert await target.tell("guest.py:pin_others") >= 2
    assert await target.tell("guest.py:processors") == before
    assert await target.tell("guest.py:processors") == before


# Signals


async def test_the_relay_is_deaf_to_signals(target) -> None:
    numbers = [number for number in signal.valid_signals() if number < 32 and number != signal.SIGCHLD]
    assert await target.tell("guest.py:signal_relay", {"numbers": sorted(int(n) for n in numbers)}) == "sent"


async def test_a_storm_of_the_one_signal_it_hears_does_not_stop_its_clock(target) -> None:
    outcome = await target.attack("guest.py:storm_relay", {"seconds": 15}, timeout_seconds=1.0)
    assert outcome.state is OutcomeState.TIMED_OUT
    assert outcome.reason == "the call did not end within 1 s"  # said by the relay, not by the host's own clock


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGTSTP])
async def test_spares_that_are_hurt_are_replaced_or_woken(target, number: signal.Signals) -> None:
    assert await target.tell("guest.py:signal_spares", {"number": int(number)}) == "sent"
    for _ in range(4):
        assert await target.tell("leave.py:again") == "fine"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1])
async def test_whoever_comes_right_after_spares_were_hurt_gets_a_process_that_lives(target, number) -> None:
    """The kernel ends a process in its own time: one that is as good as dead is given the call, and another then."""
    for _ in range(15):
        assert await target.tell("guest.py:signal_spares", {"number": int(number)}) == "sent"
        given = {"text": "x" * 100_000}
        assert await target.tell("leave.py:read_all", given, stdin=b"standard input") == ["standard input", 100_000]


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGTSTP, signal.SIGCHLD, signal.SIGCONT])
async def test_a_zygote_that_is_stopped_goes_on(target, number: signal.Signals) -> None:
    assert await target.tell("guest.py:signal_zygote", {"number": int(number)}) == "sent"
    for _ in range(4):
        assert await target.tell("leave.py:again") == "fine"


async def test_a_call_that_kills_its_zygote_costs_one_lost_outcome_and_one_container(target) -> None:
    target.may_end = True
    outcome = await target.attack("guest.py:signal_zygote", {"number": 9})
    assert outcome.state is OutcomeState.LOST
    assert outcome.reason == "the zygote ended by signal 9"
    assert not target.alive


async def test_a_call_that_kills_all_it_can_is_lost(target) -> None:
    target.may_end = True
    outcome = await target.attack("guest.py:kill_everybody")
    assert outcome.state is OutcomeState.LOST
    assert not target.alive


async def test_a_call_that_stops_all_it_can_ends_and_the_next_is_served(target) -> None:
    assert await target.tell("guest.py:freeze_everybody") == "sent"
    for _ in range(4):
        assert await target.tell("leave.py:again") == "fine"


# What a call has in common with the zygote


async def test_a_call_cannot_poison_the_zygote(target) -> None:
    """Modules, environment, limits, priority, signal handlers: changed in the call's own process, and gone with it."""
    before = await target.tell("guest.py:poisoned")
    assert await target.tell("guest.py:poison") == "poisoned"
    for _ in range(4):
        assert await target.tell("guest.py:poisoned") == before
    assert before["value"] == before["table"] == "as imported"


async def test_no_memory_is_shared_with_the_zygote(target) -> None:
    """What is copied on write cannot be written to for others; a shared mapping could."""
    assert await target.tell("guest.py:shared_memory_with_the_zygote") == []


async def test_a_call_is_born_with_four_descriptors(target) -> None:
    """Nothing, its two outputs, and its own socket to the relay: not the channel, not another call's."""
    found = await target.tell("guest.py:descriptors")
    assert sorted(found.values()) == ["/dev/null", "pipe", "pipe", "socket"] or sorted(
        value for value in found.values() if not value.startswith("/proc")
    ) == ["/dev/null", "pipe", "pipe", "socket"]


async def test_there_is_nothing_to_listen_to(target) -> None:
    heard = await target.tell("guest.py:listen_in")
    assert set(heard.values()) <= {0}


# The channel, and the call's own socket


async def test_forged_frames_on_any_descriptor_do_not_reach_the_host(target) -> None:
    outcome = await target.attack("guest.py:forge", {"frames": FORGED.hex()})
    assert outcome.state is OutcomeState.FAILED
    assert outcome.exit_code == 9
    assert outcome.result_json is None


NONSENSE = {
    "an unknown kind": ["ff"],
    "kinds of the zygote's": ["46", "42", "5a", "45"],
    "a failure without its flags": ["58"],
    "a reason without end": ["5800" + "41" * 60000],
    "a result that never ends": ["52" + "41" * 60000] * 3,
    "nothing": [""],
    "frames of the channel": [FORGED.hex()],
    "a result that is no JSON": ["53" + "7b7b"],
    "an event that is no JSON": ["7bffff", "7b7b7b"],
}


@pytest.mark.parametrize("name", NONSENSE)
async def test_nonsense_on_its_own_socket_harms_only_the_call(target, name: str) -> None:
    outcome = await target.attack("guest.py:packets", {"kinds": NONSENSE[name]})
    assert outcome.state is OutcomeState.FAILED
    assert outcome.result_json is None


async def test_the_first_answer_counts(target) -> None:
    outcome = await target.attack("guest.py:two_answers")
    assert outcome.state is OutcomeState.SUCCEEDED
    assert outcome.result_json == b'"first"'


async def test_nobody_speaks_as_the_relay(target) -> None:
    """Whose a packet is, the kernel says (``SCM_CREDENTIALS``)."""
    assert await target.tell("guest.py:as_somebody_else") == "EPERM"


async def test_descriptors_sent_to_the_relay_are_not_kept(target) -> None:
    for _ in range(8):
        outcome = await target.attack("guest.py:hand_over_descriptors", {"count": 40})
        assert outcome.exit_code == 9
    for _ in range(4):
        assert await target.tell("leave.py:again") == "fine"


async def test_a_result_without_end_is_cut_off(target) -> None:
    outcome = await target.attack("guest.py:fill_the_link", timeout_seconds=10.0)
    assert outcome.state is OutcomeState.OUTPUT_LIMIT


async def test_a_call_that_hangs_up_and_stays_is_timed_out(target) -> None:
    outcome = await target.attack("guest.py:close_everything", timeout_seconds=1.0)
    assert outcome.state is OutcomeState.TIMED_OUT


async def test_a_call_that_stops_itself_is_timed_out(target) -> None:
    began = time.monotonic()
    outcome = await target.attack("guest.py:stop_itself", timeout_seconds=1.0)
    assert outcome.state is OutcomeState.TIMED_OUT
    assert time.monotonic() - began < 20


async def test_the_relay_answers_when_all_processors_are_taken(target) -> None:
    """Starved by 40 processes of its own container: its clock still ends the call."""
    outcome = await target.attack("flood.py:processor", {"count": 40}, timeout_seconds=1.0)
    assert outcome.state is OutcomeState.TIMED_OUT
    assert outcome.reason == "the call did not end within 1 s"
