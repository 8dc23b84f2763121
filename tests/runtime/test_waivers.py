"""A waiver lets in what an advisory keeps out, until its day or until it is revoked; and says so wherever one looks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from skillyard.governance import epoch, people
from skillyard.governance.administrators import Administrator
from skillyard.governance.decision import Deny, Hold
from skillyard.governance.identity import SYSTEM, PersonPrincipal, Role, TokenId
from skillyard.governance.report import Finding, Severity, Verdict
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.governance.waivers.waiver import Waiver, WaiverError, draft_waiver
from skillyard.runtime import store
from skillyard.runtime.errors import ReportRefusedError
from skillyard.runtime.runtime import create_runtime
from skillyard.runtime.values import InstalledVersion, SkillRef
from skillyard.settings import Settings
from skillyard.times import utcnow
from tests.runtime.conftest import Yard, open_yard

VULNERABLE = "idna==2.7"
"""Known in the advisories that ship with the project: of high severity, so it is not installed."""
ADVISORY = "CVE-2024-3651"
REF = SkillRef("acme", "adder", "1.0.0")


async def waive(yard: Yard, days: float = 1, **fields: Any) -> Waiver:
    about = {"ecosystem": "pypi", "name": "idna", "version": "2.7", "advisory": ADVISORY}
    now = utcnow()
    values: dict[str, Any] = {**about, "reason": "not reachable", "expires_at": now + timedelta(days=days), "now": now}
    return await yard.runtime.waivers.add(draft_waiver(**{**values, **fields}), by=Administrator.of(yard.admin))


async def installed(yard: Yard) -> InstalledVersion:
    return (await yard.install(yard.skill(python=VULNERABLE))).version


async def decision(yard: Yard, version: InstalledVersion) -> Any:
    agent = await yard.agent(f"agent-{utcnow().timestamp()}")
    view = await yard.runtime.views.current(yard.admin.workspace)
    return yard.runtime.decider.decide(view, agent.id, view.versions[version.id])


async def test_what_an_advisory_keeps_out_is_let_in_by_a_waiver_and_out_again_without(yard: Yard) -> None:
    folder = yard.skill(python=VULNERABLE)
    with pytest.raises(ReportRefusedError):
        await yard.install(folder)
    waiver = await waive(yard)
    version = (await yard.install(folder)).version
    assert isinstance(await decision(yard, version), Hold), "its package waits for an approval, and nothing else"
    shown = (await yard.runtime.version(yard.admin.workspace, REF)).report
    assert shown.verdict is Verdict.FLAG
    assert [one.waiver.id for one in shown.findings if one.waiver is not None] == [waiver.id]

    await yard.runtime.waivers.revoke(waiver.id, by=Administrator.of(yard.admin))
    denied = await decision(yard, version)
    assert isinstance(denied, Deny)
    assert denied.reasons[0].code == "report_blocked"
    assert (await yard.runtime.version(yard.admin.workspace, REF)).report.verdict is Verdict.BLOCK
    (skill,) = await yard.runtime.skills(yard.admin.workspace)
    assert skill.versions[0].verdict == "BLOCK"


async def test_a_waiver_that_runs_out_blocks_again_by_the_clock_alone(yard: Yard) -> None:
    await waive(yard)
    version = await installed(yard)
    agent = await yard.agent("late")
    view = await yard.runtime.views.current(yard.admin.workspace)
    now = utcnow()
    assert isinstance(yard.runtime.decider.decide(view, agent.id, view.versions[version.id]), Hold)
    kept = view.rulings[version.id]
    assert isinstance(kept.decide(agent, now), Hold)
    assert not kept.holds(now + timedelta(days=1)), "what was worked out before may not outlive the waiver"
    assert isinstance(kept.decide(agent, now + timedelta(days=1)), Deny)


async def test_a_waiver_is_of_one_workspace(yard: Yard) -> None:
    made = await waive(yard)
    stranger = Administrator.of(await _stranger(yard))
    assert await yard.runtime.waivers.list(stranger.workspace, after=0, limit=10, ended=True) == ()
    view = await yard.runtime.views.current(stranger.workspace)
    assert view.rules.waivers == ()
    assert [one.id for one in (await yard.runtime.views.current(yard.admin.workspace)).rules.waivers] == [made.id]


async def test_what_no_installed_version_has_as_waivable_is_refused_with_the_reason(yard: Yard) -> None:
    await waive(yard)
    version = await installed(yard)
    (found,) = [one for one in version.report.findings if one.advisory is not None]
    assert found.waiver is not None
    assert found.waiver.level is Verdict.BLOCK, "what it would be without"
    again = await waive(yard, advisory=found.advisory)
    assert again.advisory == found.advisory
    with pytest.raises(WaiverError, match="malicious"):
        await waive(yard, advisory="MAL-2025-1")


async def _stranger(yard: Yard) -> Any:
    async with yard.runtime.database.transaction() as session:
        other = await people.create_workspace(session, "elsewhere", by=SYSTEM, at=utcnow())
        person = await people.add_person(session, other.id, "nia", Role.ADMIN, by=SYSTEM, at=utcnow())
    return PersonPrincipal(TokenId(0), person)


async def test_what_an_installed_version_has_as_untold_is_not_waived(yard: Yard) -> None:
    version = (await yard.install(yard.skill())).version
    (file,) = [one for one in version.skill.bundle.files if one.path == "SKILL.md"]
    untold = Finding(
        "unreadable",
        Verdict.INDETERMINATE,
        Severity.UNKNOWN,
        "cannot be read",
        file="SKILL.md",
        file_sha256=file.sha256,
    )
    report = replace(version.report, verdict=Verdict.INDETERMINATE, findings=(untold,))
    async with yard.runtime.database.transaction() as session:
        await store.set_report(session, version.workspace, version.id, report)
        await epoch.bump(session)
    about: dict[str, Any] = dict.fromkeys(("ecosystem", "name", "version", "advisory"))
    with pytest.raises(WaiverError, match="could not be told is never waived"):
        await waive(yard, **about, rule="unreadable", file_sha256=file.sha256)


async def test_a_policy_that_asks_scanners_for_more_has_installed_skills_scanned_again(
    settings: Settings, tmp_path: Path
) -> None:
    opened = await open_yard(settings, tmp_path / "skills")
    async with opened.runtime:
        await opened.install(opened.skill())
    policy = tmp_path / "policy.yaml"
    policy.write_text('version: "1"\nprivate_names: ["acme-*"]\n')
    asking = settings.model_copy(update={"scan_policy": policy})
    async with await create_runtime(asking) as runtime:
        if (before := (await runtime.version(opened.admin.workspace, REF)).report).verdict is not Verdict.PASS:
            assert "what it asks scanners to look for has changed" in before.reasons[0]
        await runtime.rescanner.look()
        report = (await runtime.version(opened.admin.workspace, REF)).report
    assert report.verdict is Verdict.PASS, report.reasons
    assert report.asked == ScanPolicy.from_settings(asking).asked
