"""New advisories reach what is installed already: the version is quarantined, and its next call refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from skillyard.governance.advisories.sources import FileSource
from skillyard.governance.decision import SkillState
from skillyard.runtime.values import SkillRef
from skillyard.sandbox.outcome import OutcomeState
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
    await yard.runtime.approve(held.approval, person=yard.second)
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
