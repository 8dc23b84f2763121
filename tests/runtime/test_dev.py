"""A folder that is edited while it is served: sound content takes over, all other is told, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest
from skillyard.governance.policy import Policy
from skillyard.runtime.dev import Developer, DevOptions
from skillyard.runtime.dev_access import agent_token
from skillyard.runtime.dev_events import Called, DevEvent, Held, Place, Refused, Superseded, Swapped, Unchanged
from skillyard.runtime.local import LocalWorkspace, ensure_operator
from skillyard.runtime.runtime import Runtime, create_runtime
from skillyard.runtime.values import InstalledVersion, Invocation, InvokeRequest, SkillRef
from skillyard.sandbox.outcome import OutcomeState
from skillyard.settings import Settings
from skillyard.skills.sources.folder import FolderSource

ANSWER = "def run() -> str:\n    return {!r}\n"


@pytest.fixture
async def runtime(settings: Settings) -> AsyncIterator[Runtime]:
    async with await create_runtime(settings, policy=Policy.local(settings), first_person=False) as opened:
        yield opened


@pytest.fixture
async def local(runtime: Runtime) -> LocalWorkspace:
    return LocalWorkspace(runtime=runtime, operator=await ensure_operator(runtime.database))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "adder"
    (made / "scripts").mkdir(parents=True)
    manifest(made)
    code(made, ANSWER.format("one"))
    return made


def manifest(folder: Path, more: str = "") -> None:
    text = (
        "---\nname: adder\ndescription: Made by a test.\nmetadata:\n"
        f'  version: "1.0.0"\n  skillyard.entry: "scripts/main.py:run"\n{more}---\n'
    )
    save(folder / "SKILL.md", text)


def code(folder: Path, text: str) -> None:
    save(folder / "scripts" / "main.py", text)


def save(file: Path, text: str) -> None:
    """As editors do it: written beside, renamed over."""
    beside = file.with_name(f".{file.name}.tmp")
    beside.write_text(text)
    beside.replace(file)


@dataclass
class Desk:
    """A folder being served, and what was told of it."""

    local: LocalWorkspace
    folder: Path
    told: list[DevEvent] = field(default_factory=list)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, event: DevEvent) -> None:
        self.told.append(event)
        self._more.set()

    async def next(self) -> DevEvent:
        """What is told next, of anything but content that was too old when its turn came."""
        while True:
            while not self.told:
                self._more.clear()
                await asyncio.wait_for(self._more.wait(), 150)
            event = self.told.pop(0)
            if not isinstance(event, Superseded):
                return event

    async def call(self, skill: str = "local/adder") -> Invocation:
        request = InvokeRequest(
            workspace=self.local.operator.person.workspace,
            agent=self.local.operator.agent.id,
            skill=SkillRef.parse(skill),
        )
        return await self.local.invoke(request, approve=False)

    async def answer(self) -> object:
        done = await self.call()
        assert done.outcome.state is OutcomeState.SUCCEEDED, done.outcome
        return orjson.loads(done.outcome.result_json or b"null")


@asynccontextmanager
async def desk(
    local: LocalWorkspace, folder: Path, options: DevOptions | None = None, *, call: bool = False
) -> AsyncIterator[Desk]:
    made = Desk(local, folder)

    def request(version: InstalledVersion) -> InvokeRequest:
        return InvokeRequest(version.workspace, local.operator.agent.id, version.ref)

    developer = Developer(
        local=local,
        folder=folder,
        claims=folder.parent / "claims",
        options=options or DevOptions(),
        tell=made.tell,
        request=request if call else None,
    )
    working = asyncio.create_task(developer.run())
    try:
        yield made
        assert not working.done(), working
    finally:
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working


async def test_a_saved_change_takes_over_and_says_what_it_took(local: LocalWorkspace, folder: Path) -> None:
    async with desk(local, folder) as here:
        first = await here.next()
        assert isinstance(first, Swapped), first
        assert first.changed == ("SKILL.md", "scripts/main.py")
        assert await here.answer() == "one"
        code(folder, ANSWER.format("two"))
        second = await here.next()
        assert isinstance(second, Swapped), second
        assert second.changed == ("scripts/main.py",)
        assert (second.old, second.new) == (first.new.partition("@")[2], second.new)
        assert list(second.stages) == ["read", "parse", "lock", "scan", "store", "start", "check", "move"]
        assert 0 < sum(second.stages.values()) <= second.seconds
        assert await here.answer() == "two"


@pytest.mark.parametrize(
    ("broken", "place"),
    [
        pytest.param("def run( -> str:\n    return 'x'\n", Place("scripts/main.py", 1), id="syntax"),
        pytest.param("\nimport nowhere_at_all\n\n\ndef run() -> str: ...\n", Place("scripts/main.py", 2), id="import"),
        pytest.param("def runn() -> str: ...\n", Place("SKILL.md", 6), id="entry"),
    ],
)
async def test_broken_content_stays_out_says_where_and_recovers(
    local: LocalWorkspace, folder: Path, broken: str, place: Place
) -> None:
    async with desk(local, folder) as here:
        first = await here.next()
        assert isinstance(first, Swapped)
        code(folder, broken)
        refused = await here.next()
        assert isinstance(refused, Refused), refused
        assert (refused.place, refused.serving) == (place, first.new)
        assert await here.answer() == "one"
        code(folder, ANSWER.format("mended"))
        assert isinstance(await here.next(), Swapped)
        assert await here.answer() == "mended"


async def test_a_package_that_cannot_be_resolved_keeps_the_last_version(local: LocalWorkspace, folder: Path) -> None:
    async with desk(local, folder) as here:
        await here.next()
        manifest(folder, '  skillyard.python: "iniconfig==99.99"\n')
        refused = await here.next()
        assert isinstance(refused, Refused), refused
        assert "iniconfig" in str(refused.error)
        assert await here.answer() == "one"
        manifest(folder)
        assert isinstance(await here.next(), Unchanged)


async def test_packages_are_held_until_the_operator_approves_and_the_lock_is_kept(
    local: LocalWorkspace, folder: Path
) -> None:
    manifest(folder, '  skillyard.python: "iniconfig==2.1.0"\n')
    async with desk(local, folder) as here:
        held = await here.next()
        assert isinstance(held, Held), held
        assert "iniconfig==2.1.0" in held.reason
        assert held.serving is None
        assert await local.approve(await local.install(FolderSource(folder)))
        manifest(folder, '  skillyard.python: "iniconfig==2.1.0"\n')
        assert isinstance(await here.next(), Swapped)
    manifest(folder, '  skillyard.python: "iniconfig==2.0.0"\n')
    async with desk(local, folder, DevOptions(approve=True)) as here:
        first = await here.next()
        assert isinstance(first, Swapped), first
        assert first.approved == ("iniconfig==2.0.0",)
        code(folder, "import iniconfig\n\n\ndef run() -> str:\n    return iniconfig.__name__\n")
        second = await here.next()
        assert isinstance(second, Swapped), second
        assert (second.locks_known, second.approved, second.packages) == (True, (), 1)
        assert await here.answer() == "iniconfig"


async def test_a_skill_of_instructions_is_served_too(local: LocalWorkspace, tmp_path: Path) -> None:
    folder = tmp_path / "guide"
    folder.mkdir()
    (folder / "SKILL.md").write_text("---\nname: guide\ndescription: Made by a test.\n---\n# One\n")
    async with desk(local, folder) as here:
        assert isinstance(await here.next(), Swapped)
        (folder / "SKILL.md").write_text("---\nname: guide\ndescription: Made by a test.\n---\n# Two\n")
        assert isinstance(await here.next(), Swapped)
        done = await here.call("local/guide")
        assert "# Two" in orjson.loads(done.outcome.result_json or b"{}")["instructions"]


async def test_the_newest_of_many_changes_is_what_serves_in_the_end(local: LocalWorkspace, folder: Path) -> None:
    """Saves that come faster than swaps: versions take over in the order of writing, and the last one stays."""
    async with desk(local, folder) as here:
        await here.next()
        for number in range(30):
            code(folder, ANSWER.format(f"edit {number}"))
            await asyncio.sleep(0.02)
        served: list[object] = []
        while not served or served[-1] != "edit 29":
            event = await here.next()
            assert isinstance(event, Swapped), event
            served.append(await here.answer())
        numbers = [int(str(one).removeprefix("edit ")) for one in served]
        assert numbers == sorted(numbers)


async def test_the_call_that_follows_a_change_is_of_that_version(local: LocalWorkspace, folder: Path) -> None:
    async with desk(local, folder, call=True) as here:
        await here.next()
        called = await here.next()
        assert isinstance(called, Called)
        assert called.invocation.outcome.result_json == b'"one"'
        code(folder, "def run() -> str:\n    raise ValueError('not today')\n")
        swapped, failed = await here.next(), await here.next()
        assert isinstance(swapped, Swapped)
        assert isinstance(failed, Called)
        assert failed.invocation.outcome.state is OutcomeState.FAILED
        assert str(failed.invocation.skill) == swapped.new


async def test_calls_that_are_pinned_to_an_old_version_end_before_it_goes(local: LocalWorkspace, folder: Path) -> None:
    code(folder, "import time\n\n\ndef run() -> str:\n    time.sleep(8)\n    return 'slow'\n")
    async with desk(local, folder) as here:
        first = await here.next()
        assert isinstance(first, Swapped)
        slow = asyncio.create_task(here.call(first.new))
        for number in range(11):
            code(folder, ANSWER.format(f"edit {number}"))
            assert isinstance(await here.next(), Swapped)
        assert await here.local.serving("adder") is not None
        done = await slow
        assert (done.outcome.state, done.outcome.result_json) == (OutcomeState.SUCCEEDED, b'"slow"')
        view = await here.local._runtime.views.current(here.local.operator.person.workspace)
        assert len(view.versions) == 10
        assert first.new not in {str(version.ref) for version in view.versions.values()}


async def test_what_serves_is_not_removed_however_many_broken_edits_follow(local: LocalWorkspace, folder: Path) -> None:
    async with desk(local, folder) as here:
        await here.next()
        for number in range(12):
            code(folder, f"import nowhere_{number}\n\n\ndef run() -> str: ...\n")
            assert isinstance(await here.next(), Refused)
        assert await here.answer() == "one"
        assert await here.local.install(FolderSource(folder))


async def test_a_second_process_does_not_fight_over_the_same_skill(local: LocalWorkspace, folder: Path) -> None:
    async with desk(local, folder) as here:
        await here.next()
        async with desk(local, folder) as other:
            refused = await other.next()
            assert isinstance(refused, Refused)
            assert "another process" in str(refused.error)
        code(folder, ANSWER.format("two"))
        assert isinstance(await here.next(), Swapped)


async def test_a_folder_that_goes_away_and_comes_back_is_served_all_the_while(
    local: LocalWorkspace, folder: Path
) -> None:
    async with desk(local, folder) as here:
        await here.next()
        away = folder.with_name("away")
        folder.rename(away)
        assert type(await here.next()).__name__ == "FolderVanished"
        assert await here.answer() == "one"
        code(away, ANSWER.format("edited elsewhere"))
        away.rename(folder)
        assert type(await here.next()).__name__ == "FolderReturned"
        assert isinstance(await here.next(), Swapped)
        assert await here.answer() == "edited elsewhere"


async def test_a_token_lasts_as_long_as_its_process(local: LocalWorkspace, runtime: Runtime, tmp_path: Path) -> None:
    folder = tmp_path / "dev"
    async with agent_token(runtime.database, local.operator, folder) as path:
        assert path.stat().st_mode & 0o777 == 0o600
        async with agent_token(runtime.database, local.operator, folder) as beside:
            assert path.exists()
            assert beside != path
    assert list(folder.iterdir()) == []
