"""Whatever a skill does to its sandbox, the call ends as what it was, in time, and the next call is none the wiser."""

from __future__ import annotations

import time
from typing import Any

from tests.acceptance import engine
from tests.acceptance.people import Agent, Json, People, answered
from tests.acceptance.skills import ASSETS, made
from tests.acceptance.stage import Stage
from tests.acceptance.story import Break, Edit, Story

SKILL = "acme/hostile"
CODE = (ASSETS / "hostile.py").read_text()
MEMORY = "more memory than granted is out_of_memory"

# Function → its arguments, the outcome it has to end as. Each stops by itself after a while, so that a broken product
# does not take the machine with it.
HOSTILE: tuple[tuple[str, str, Json, str], ...] = (
    (MEMORY, "memory", {"mib": 400}, "out_of_memory"),
    ("also of a process that the skill starts", "memory_of_another", {"mib": 400}, "out_of_memory"),
    ("and of files that live in memory", "memory_of_nobody", {"mib": 80}, "out_of_memory"),
    ("a call that does not end is timed_out", "sleep", {"seconds": 60}, "timed_out"),
    ("also if it is busy and deaf to signals", "deaf", {"seconds": 60}, "timed_out"),
    ("also if it stopped itself", "stop_itself", {}, "timed_out"),
    ("more processes than granted is process_limit", "processes", {"count": 200}, "process_limit"),
    ("threads are processes", "threads", {"count": 200}, "process_limit"),
    ("more output than granted is output_limit", "shout", {"mib": 4}, "output_limit"),
    ("a larger result than granted is output_limit", "result", {"mib": 12}, "output_limit"),
    ("a full disk is disk_full", "fill", {"mib": 200}, "disk_full"),
    ("also of files without content", "many_files", {"count": 20_000}, "disk_full"),
    ("a file larger than granted is disk_full", "large_file", {"mib": 80}, "disk_full"),
    ("more open files than granted is failed", "open_files", {"count": 2_000}, "failed"),
    ("ending by a signal is killed", "kill_itself", {}, "killed"),
    ("an error is failed", "fails", {}, "failed"),
)
# What a skill may try without it being a crime: it gets nothing by it.
SHUT: tuple[tuple[str, str], ...] = (
    ("there is no network", "network"),
    ("its own files cannot be changed", "change_itself"),
    ("nothing outside its folders can be written", "write_elsewhere"),
    ("it is not root and cannot become it", "become_root"),
    ("the supervisor cannot be reached", "supervisor"),
)


def tell(stage: Stage) -> None:
    home = stage.home()
    people = People(stage.serve(home))
    functions = (
        "plain",
        "look",
        *(function for _, function, *_ in HOSTILE),
        *(function for _, function in SHUT),
        "stray",
    )
    people.install_hostile(made("hostile", CODE, functions=functions, memory="128MiB", timeout="20s"))
    robot = people.agent("robot", "AUTONOMOUS")
    stage.check("a plain call works", _call(robot, "plain")["result"] == "fine")

    slowest = 0.0
    for name, function, given, state in HOSTILE:
        began = time.monotonic()
        timeout = 2.0 if state == "timed_out" else 15.0
        outcome = _call(robot, function, given, timeout_seconds=timeout)
        took = time.monotonic() - began
        stage.check(name, outcome["state"] == state, f"{outcome['state']}: {outcome['reason']}, {outcome['result']}")
        slowest = max(slowest, took - timeout) if state == "timed_out" else slowest
        _check_nothing_left(stage, robot)
    stage.figures["longest_past_its_time_out_seconds"] = round(slowest, 2)
    for name, function in SHUT:
        outcome = _call(robot, function)
        stage.check(name, outcome["state"] == "succeeded" and outcome["result"] == [], str(outcome)[:600])
    stray = _call(robot, "stray")
    stage.check("a process left behind does not keep a call from ending", stray["state"] == "succeeded", str(stray))
    _check_nothing_left(stage, robot)
    found = len(engine.containers(home))
    stage.check("one sandbox at a time served all of it", found <= 1, f"{found} containers")


def _check_nothing_left(stage: Stage, robot: Agent) -> None:
    """The next call sees a clean sandbox: no file and no process of the call before."""
    seen = _call(robot, "look")
    clean: Json = {"files": [], "strangers": []}
    stage.check(
        "and nothing of it is left", seen["result"] == clean, f"{seen['state']}: {seen['reason']} {seen['result']}"
    )


def _call(robot: Agent, function: str, given: Json | None = None, **fields: Any) -> Json:
    outcome: Json = answered(robot.call(SKILL, given, entry=f"scripts/main.py:{function}", **fields))["outcome"]
    return outcome


STORY = Story(
    name="limits",
    tell=tell,
    breaks=Break(
        says="containers are started without a memory limit",
        edits=(
            Edit(
                "skillyard/sandbox/hostconfig.py",
                '"Memory": granted.memory_bytes,\n        "MemorySwap": granted.memory_bytes,',
                '"Memory": 0,\n        "MemorySwap": 0,',
            ),
        ),
        trips=MEMORY,
    ),
)
