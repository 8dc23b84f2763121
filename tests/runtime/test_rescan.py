"""New advisories reach what is installed already: the version is quarantined, and its next call refused."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from skillyard.errors import NotFoundError
from skillyard.governance.advisories.sources import FileSource
from skillyard.governance.decision import SkillState
from skillyard.governance.report import Report
from skillyard.runtime.install import Installer
from skillyard.runtime.rescan import Rescanner
from skillyard.runtime.values import SkillRef
from skillyard.sandbox.outcome import OutcomeState
from skillyard.skills.lock import Lock
from skillyard.skills.skill import Skill
from tests.runtime.conftest import Yard


def advisory(package: str) -> dict[str, object]:
    """A made-up record in the OSV schema: every version of a package is affected."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "id": "TEST-2026-1",
        "modified": now,
        "published": now,
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": package},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}],
            }
        ],
    }


async def test_a_new_advisory_quarantines_what_it_affects_and_nothing_else(yard: Yard, tmp_path: Path) -> None:
    code = "import iniconfig\n\n\ndef run(x: int) -> int:\n    return x\n"
    await yard.install(yard.skill(code, name="hit", python="iniconfig==2.1.0"))
    await yard.install(yard.skill(name="missed"))
    bot = await yard.agent("bot")
    held = await yard.invoke(bot, "acme/hit")
    assert held.approval is not None
    await yard.runtime.approver.approve(held.approval, person=yard.second)
    assert (await yard.invoke(bot, "acme/hit")).outcome.state is OutcomeState.SUCCEEDED
    records = tmp_path / "new.jsonl"
    records.write_text(json.dumps(advisory("iniconfig")) + "\n")
    done = await yard.runtime.update_advisories(FileSource(records))
    assert done.quarantined == (SkillRef("acme", "hit", "1.0.0"),)
    hit = await yard.runtime.version(bot.workspace, SkillRef("acme", "hit"))
    assert hit.state is SkillState.QUARANTINED
    refused = await yard.invoke(bot, "acme/hit")
    assert refused.outcome.refusal == {"decision": "denied", "code": "skill_not_active"}
    assert yard.runtime.pool.counts(hit.id).idle == 0
    assert (await yard.invoke(bot, "acme/missed")).outcome.state is OutcomeState.SUCCEEDED


class Overtaken(Installer):
    """The runtime's own installer; while it scans, somebody else does something."""

    def __init__(self, real: Installer, meanwhile: Callable[[], Awaitable[None]]) -> None:
        self._real = real
        self._meanwhile = meanwhile

    async def scan(self, skill: Skill, locks: tuple[Lock, ...]) -> Report:
        report = await self._real.scan(skill, locks)
        await self._meanwhile()
        return report


async def test_a_skill_removed_while_it_is_rescanned_stays_removed(yard: Yard, tmp_path: Path) -> None:
    await yard.install(yard.skill(name="hit", python="iniconfig==2.1.0"))
    records = tmp_path / "new.jsonl"
    records.write_text(json.dumps(advisory("iniconfig")) + "\n")
    runtime, ref = yard.runtime, SkillRef("acme", "hit")

    async def remove() -> None:
        await runtime.uninstall(ref, workspace=yard.admin.workspace, actor=yard.admin)

    rescanner = Rescanner(
        settings=runtime.settings,
        database=runtime.database,
        installer=Overtaken(runtime._installer, remove),
        enforcer=runtime._rescanner._enforcer,
    )
    assert (await rescanner.update(FileSource(records))).quarantined == ()
    assert await runtime.skills(yard.admin.workspace) == ()


async def test_a_version_that_cannot_be_scanned_does_not_shield_the_others(yard: Yard, tmp_path: Path) -> None:
    broken = await yard.install(yard.skill(name="broken"))
    await yard.install(yard.skill(name="hit", python="iniconfig==2.1.0"))
    bundle = yard.runtime.bundles.path(broken.version.skill.bundle.digest)
    bundle.rename(bundle.with_name("moved-away"))
    records = tmp_path / "new.jsonl"
    records.write_text(json.dumps(advisory("iniconfig")) + "\n")
    with pytest.raises(NotFoundError, match="no bundle"):
        await yard.runtime.update_advisories(FileSource(records))
    hit = await yard.runtime.version(yard.admin.workspace, SkillRef("acme", "hit"))
    assert hit.state is SkillState.QUARANTINED


async def test_a_rescan_of_many_versions_does_not_make_calls_decide_again_for_each(yard: Yard, tmp_path: Path) -> None:
    for number in range(5):
        await yard.install(yard.skill(name=f"skill-{number}"))
    before = (await yard.runtime.views.current(yard.admin.workspace)).epoch
    records = tmp_path / "new.jsonl"
    records.write_text(json.dumps(advisory("iniconfig")) + "\n")
    assert (await yard.runtime.update_advisories(FileSource(records))).scanned == 5
    assert (await yard.runtime.views.current(yard.admin.workspace)).epoch == before + 1
