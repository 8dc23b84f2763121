"""Attacks on the sandbox by a skill that agents call: each gets nowhere, and costs nobody else a call.

The attacks are some of those in ``tests/escape``, here through everything that a call goes through: upload, scan,
decision, pool. ``docs/threat-model.md`` says what stops which.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.acceptance import engine
from tests.acceptance.copies import ROOT
from tests.acceptance.people import Agent, Json, People, answered
from tests.acceptance.skills import packed
from tests.acceptance.stage import Stage
from tests.acceptance.story import Break, Edit, Story

SKILL = "acme/escape"
ASSETS = ROOT / "tests" / "assets" / "escape"
CANARY = "canary-of-the-first-agent"
NOTHING_LEFT = "what one agent's call left everywhere, another agent's call does not find"

# What is tried, by which function and with what. All that the function says of the kernel's answers has to be errors.
REFUSED: tuple[tuple[str, str, Json], ...] = (
    ("the engine's socket is not there", "reach.py:engine_socket", {}),
    ("the hypervisor cannot be called", "kernel.py:open_socket", {"family": 40, "kind": 1, "protocol": 0}),
    ("packets cannot be made by hand", "kernel.py:open_socket", {"family": 17, "kind": 3, "protocol": 768}),
    (
        "the metadata service is not reached",
        "reach.py:connect",
        {"family": 2, "address": "169.254.169.254", "port": 80},
    ),
    ("there are no namespaces to hide in", "kernel.py:namespaces", {}),
    ("io_uring does not go round the filter", "kernel.py:around_the_filter", {}),
    ("nobody becomes root", "kernel.py:become_root", {}),
    ("the skill's own files cannot be changed", "reach.py:change", {"path": "/skill/SKILL.md"}),
    ("nor be mounted again", "reach.py:remount", {"path": "/skill"}),
    ("the interpreter cannot be overwritten", "reach.py:own_program", {}),
    ("no device of the host can be made", "reach.py:make_devices", {}),
    ("core dumps cannot be sent to a program", "reach.py:write", {"paths": ["/proc/sys/kernel/core_pattern"]}),
    ("the supervisor's memory cannot be read", "guest.py:vm", {"writing": False}),
    ("nor written", "guest.py:vm", {"writing": True}),
    ("its descriptors cannot be taken", "guest.py:steal_descriptors", {}),
    ("its limits cannot be lowered", "guest.py:limits", {}),
)
# What ends the call, and as what.
ENDED: tuple[tuple[str, str, Json, str], ...] = (
    ("a forged answer is no answer", "guest.py:packets", {"kinds": ["52" + "41" * 60000, "5a", "46"]}, "failed"),
    ("a storm of processes is process_limit", "flood.py:threads", {}, "process_limit"),
    ("a call that kills the supervisor's helper is lost", "guest.py:signal_zygote", {"number": 9}, "lost"),
    ("a call that stops everything it can ends", "guest.py:freeze_everybody", {}, "succeeded"),
)


def tell(stage: Stage) -> None:
    home = stage.home()
    people = People(stage.serve(home))
    people.install_hostile(_archive())
    attacker, other = people.agent("attacker", "AUTONOMOUS"), people.agent("other", "AUTONOMOUS")
    stopped = 0
    for name, function, given in REFUSED:
        outcome = _call(attacker, function, given)
        worked = [text for text in _texts(outcome["result"]) if not (text.startswith("E") and text.isupper())]
        stage.check(
            name, outcome["state"] == "succeeded" and not worked, f"{outcome['state']}: {worked} {outcome}"[:900]
        )
        stopped += 1
    stopped += _canary(stage, attacker, other)
    for name, function, given, state in ENDED:
        outcome = _call(attacker, function, given, timeout_seconds=10.0)
        stage.check(name, outcome["state"] == state, f"{outcome['state']}: {outcome['reason']}")
        _served(stage, other)
        stopped += 1
    stopped += _hand_back(stage, attacker)
    stage.figures["attacks_tried"] = len(REFUSED) + len(ENDED) + 2
    stage.figures["attacks_stopped"] = stopped
    found = len(engine.containers(home))
    stage.check("one sandbox at a time served all of it", found <= 1, f"{found} containers")


def _canary(stage: Stage, attacker: Agent, other: Agent) -> int:
    written = _call(attacker, "leave.py:everything", {"canary": CANARY})
    stage.check("a canary is written wherever a call can write", written["state"] == "succeeded", str(written)[:900])
    seen = _call(other, "leave.py:look", {"canary": CANARY})
    clean = {"found": [], "canary": []}
    stage.check(NOTHING_LEFT, seen["result"] == clean, f"{seen['state']}: {seen['reason']} {seen['result']}"[:900])
    return 1


def _hand_back(stage: Stage, attacker: Agent) -> int:
    outcome = _call(attacker, "hand_back.py:not_files")
    names = [file["path"] for file in outcome["files"]]
    stage.check("links, pipes and devices are not handed back", names == ["good.txt"], str(outcome)[:900])
    return 1


def _served(stage: Stage, other: Agent) -> None:
    again = _call(other, "leave.py:again")
    stage.check("and the next agent is served", again["result"] == "fine", str(again)[:600])


def _texts(value: object) -> Iterator[str]:
    """Every text in a JSON value, but for the names of its members."""
    match value:
        case str():
            yield value
        case dict():
            for member in value.values():
                yield from _texts(member)
        case list():
            for member in value:
                yield from _texts(member)
        case _:
            pass


def _call(robot: Agent, function: str, given: Json | None = None, **fields: Any) -> Json:
    outcome: Json = answered(robot.call(SKILL, given, entry=f"scripts/{function}", **fields))["outcome"]
    return outcome


def _archive() -> bytes:
    functions = {function for _, function, *_ in (*REFUSED, *ENDED)}
    functions |= {"leave.py:everything", "leave.py:look", "leave.py:again", "hand_back.py:not_files"}
    entries = " ".join(f"scripts/{function}" for function in sorted(functions))
    fields = {"version": "1.0.0", "skillyard.memory": "128MiB", "skillyard.timeout": "20s", "skillyard.entry": entries}
    lines = "".join(f'  {name}: "{text}"\n' for name, text in fields.items())
    manifest = (
        f"---\nname: escape\ndescription: Attacks on the sandbox that runs it.\nmetadata:\n{lines}---\n# Attacks\n"
    )
    scripts = {f"scripts/{path.name}": path.read_bytes() for path in (ASSETS / "skill" / "scripts").glob("*.py")}
    # Packages cannot be installed from a folder; this one comes with the skill.
    scripts["scripts/innocent.py"] = (ASSETS / "packages" / "innocent.py").read_bytes()
    return packed("escape", {"SKILL.md": manifest.encode(), **scripts})


STORY = Story(
    name="escape",
    tell=tell,
    breaks=Break(
        says="the folders that a call wrote to are taken for untouched",
        edits=(Edit("skillyard/sandbox/guest/scratch.py", "touched = not self.untouched()", "touched = False"),),
        trips=NOTHING_LEFT,
    ),
)
