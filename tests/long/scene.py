"""A home with its servers over an engine, the calls made to them, and what must hold whatever happened meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx
from tests.acceptance.people import Agent, Json, People, answered
from tests.acceptance.server import Server, clean_environment, serving
from tests.long.private_engine import PrivateEngine, mounts_below, until

ENDED = ("invocation.finished", "invocation.lost")


class Scene:
    """One home. ``serve`` starts its server, or the next one after the last ended."""

    def __init__(self, engine: PrivateEngine, home: Path, images: Path, **settings: str) -> None:
        """``images`` is kept between homes: facts about base images that were tested before."""
        self.engine = engine
        self.home = home
        home.mkdir(exist_ok=True)
        (home / "images").symlink_to(images)
        # Short, so that what is done now and then is done while a test watches.
        times = {"advisories_update_hours": "0", "skill_timeout_max": "20", "sweep_period": "1"}
        heartbeat = {"lease_heartbeat": "0.5", "lease_ttl": "15"}
        ours = {"home": str(home), "port": "0", "advisories_max_age_days": "100000", "docker_host": engine.address}
        every = ours | times | heartbeat | settings
        self._environment = clean_environment() | {f"SKILLYARD_{name.upper()}": text for name, text in every.items()}
        self._stack = ExitStack()
        self._token: str | None = None
        self._agents = 0
        self.people: People

    def serve(self) -> Server:
        server = self._stack.enter_context(serving(self.home, self._environment))
        self._token = self._token or server.first_token
        self.people = People(server, self._token)
        return server

    @property
    def server(self) -> Server:
        return self.people.server

    def robot(self) -> Agent:
        """A new agent that may call any skill without packages."""
        self._agents += 1
        return self.people.agent(f"robot-{self._agents}", "AUTONOMOUS")

    def close(self) -> None:
        self._stack.close()

    # What must hold

    def calls(self) -> list[Json]:
        """Every accepted call as the server shows it, newest first."""
        found: list[Json] = []
        cursor: Mapping[str, str] = {}
        while True:
            page = answered(self.people.admin.get("/v1/invocations", params={"limit": 100, **cursor}))
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            cursor = {"cursor": page["next_cursor"]}

    def open_calls(self) -> list[Json]:
        return [call for call in self.calls() if call["state"] == "accepted"]

    def check_records(self) -> Counter[str]:
        """Every accepted call has ended, once, and the audit chain holds. Returns how many calls ended how."""
        until(lambda: not self.open_calls(), "end of every call")
        calls = self.calls()
        export = self.people.admin.get("/v1/audit/export")
        records = [one for line in export.text.splitlines() if "seq" in (one := json.loads(line))]
        admitted = Counter(record["subject"] for record in records if record["action"] == "invocation.admitted")
        ended = Counter(record["subject"] for record in records if record["action"] in ENDED)
        once = {f"invocation/{call['id']}": 1 for call in calls}
        assert admitted == once
        assert ended == once
        verified = answered(self.people.admin.get("/v1/audit/verify"))
        assert verified["broken"] is None, verified
        assert verified["records"] == len(records)
        return Counter(call["state"] for call in calls)

    def census(self) -> Census:
        """What there is of everything that could be left behind. The server must be at rest."""
        return Census(
            containers=len(self.engine.containers()),
            shims=len(self.engine.shims()),
            cgroups=len(self.engine.cgroups()),
            mounts=len(mounts_below(self.engine.folder)),
            children=len(children(self.server.process.pid)),
            descriptors=descriptors(self.server.process.pid),
            temporary=temporary_files(self.home),
            leases=len(list((self.home / "leases").glob("[0-9a-f]*"))),
            open_calls=len(self.open_calls()),
        )

    def check_nothing_left(self, before: Census, *, seconds: float = 60) -> None:
        """As before, as soon as what is under way has ended."""
        deadline = time.monotonic() + seconds
        while more := self.census().beyond(before):
            assert time.monotonic() < deadline, f"(before, after): {more}"
            time.sleep(0.2)


@dataclass(frozen=True, slots=True)
class Census:
    """Counts, and what is better seen by name."""

    containers: int
    shims: int
    cgroups: int
    mounts: int
    children: int
    descriptors: Mapping[str, int]
    temporary: tuple[str, ...]
    leases: int
    open_calls: int

    def beyond(self, before: Census) -> dict[str, tuple[object, object]]:
        """Where this is not as it was before: then, and now."""
        then, now = asdict(before), asdict(self)
        return {name: (then[name], now[name]) for name in now if then[name] != now[name]}


@dataclass
class Background:
    """A call under way. ``answer`` is what came back, ``error`` why nothing did."""

    thread: threading.Thread
    answer: httpx.Response | None = None
    error: httpx.HTTPError | None = None
    done: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float = 60) -> Background:
        assert self.done.wait(seconds), "a call got no answer"
        return self

    @property
    def outcome(self) -> Json:
        assert self.answer is not None, self.error
        found: Json = answered(self.answer)["outcome"]
        return found

    @property
    def state(self) -> str:
        return str(self.outcome["state"])


def in_background(agent: Agent, skill: str, given: Json | None = None, **fields: object) -> Background:
    """A call in a thread of its own, for the world to break under it."""

    def work() -> None:
        try:
            background.answer = agent.call(skill, given, **fields)
        except httpx.HTTPError as error:
            background.error = error
        finally:
            background.done.set()

    background = Background(threading.Thread(target=work, daemon=True))
    background.thread.start()
    return background


# Processes, from proc(5).


def children(pid: int) -> list[int]:
    """Processes that a process has started and not waited for, but the one that is kept for the next static scan."""
    return [child for child in _children(pid) if not _is_scan_worker(child)]


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _is_scan_worker(pid: int) -> bool:
    """Whether it is the one that ends by itself a minute after the last scan."""
    try:
        return b"worker_process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


def descriptors(pid: int) -> dict[str, int]:
    """Open descriptors by what they are: files by the folder they are in, everything else by kind.

    Not among them are those of pools that keep some for reuse, connections to the engine and to the databases; how many
    there are depends on how much was done at once, and the soak bounds it. Nor are pipes to the scan's worker.
    """
    shared = {target for child in _children(pid) if _is_scan_worker(child) for target in _open_targets(child)}
    found = Counter(
        str(Path(target).parent) if target.startswith("/") else target.partition(":")[0]
        for target in _open_targets(pid)
        if not _is_pooled(target) and not (target.startswith("pipe:") and target in shared)
    )
    return dict(found)


def pooled_descriptors(pid: int) -> int:
    return sum(_is_pooled(target) for target in _open_targets(pid))


def _open_targets(pid: int) -> Iterator[str]:
    with contextlib.suppress(FileNotFoundError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                yield str(entry.readlink())


def _is_pooled(target: str) -> bool:
    return target.startswith("socket:") or Path(target).name.startswith(("skillyard.db", "advisories.db"))


def field_of(pid: int, name: str) -> int:
    """A number of proc(5) ``status``: ``Threads``, ``VmRSS`` (KiB)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise LookupError(name)


def descendants(pid: int) -> list[int]:
    """A process's children, theirs, and so on."""
    found = children(pid)
    for child in found:
        with contextlib.suppress(FileNotFoundError):
            found += children(child)
    return found


def inner_pid(pid: int) -> int:
    """A process's pid inside its own namespace."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    raise LookupError(pid)


def temporary_files(home: Path) -> tuple[str, ...]:
    """What is only there while something is being made: staging folders' content, partial and hidden files."""
    found = []
    for folder, folders, names in os.walk(home):
        place = Path(folder).relative_to(home)
        if place.name == "staging":
            found += [str(place / name) for name in (*folders, *names)]
            folders.clear()
        found += [str(place / name) for name in names if name.startswith(".") or name.endswith((".part", ".tmp"))]
    return tuple(sorted(found))
