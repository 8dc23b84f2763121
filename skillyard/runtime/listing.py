"""What is installed, as it is now: whether packages of a version are approved is a question of time as well.

A change of rules moves a version between ``active`` and ``held`` in the database. An approval that runs out changes no
rule, and calls are held from that moment on: so the state that is shown is worked out when it is shown. So is what its
report says: the policy may be another than when it was made, and waivers are given, revoked and run out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace

from skillyard.database import Database
from skillyard.governance.closure import evaluate_closure
from skillyard.governance.decision import SkillState
from skillyard.governance.judge import judged
from skillyard.governance.scan_policy import ScanPolicy
from skillyard.ids import SkillVersionId, WorkspaceId
from skillyard.runtime import store
from skillyard.runtime.follow import state_under
from skillyard.runtime.values import InstalledVersion, SkillRef, SkillSummary, VersionSummary
from skillyard.runtime.views import View, Views
from skillyard.times import utcnow

_REVIEWED = frozenset({SkillState.ACTIVE, SkillState.HELD})


class Listing:
    """Reads; changes nothing."""

    def __init__(self, *, database: Database, views: Views, policy: ScanPolicy) -> None:
        self._database = database
        self._views = views
        self._policy = policy

    async def skills(self, workspace: WorkspaceId, *, after: int, limit: int) -> tuple[SkillSummary, ...]:
        """Installed skills in the order of their ids, beginning behind ``after``."""
        view = await self._views.current(workspace)
        async with self._database.reading() as session:
            found = await store.summaries(session, workspace, after=after, limit=limit)
        wanted = [one.id for skill in found for one in skill.versions]
        states = await asyncio.to_thread(_states, view, wanted)
        verdicts = await asyncio.to_thread(_verdicts, view, wanted, self._policy)
        return tuple(
            replace(skill, versions=tuple(_as_now(one, states, verdicts) for one in skill.versions)) for skill in found
        )

    async def version(self, workspace: WorkspaceId, ref: SkillRef) -> InstalledVersion:
        """One installed version; raises ``NotFoundError``."""
        view = await self._views.current(workspace)
        found = view.find(ref)
        states = await asyncio.to_thread(_states, view, [found.id])
        report = judged(found.report, self._policy, utcnow(), waivers=view.rules.waivers)
        return replace(found, state=states.get(found.id, found.state), report=report)


def _as_now(
    one: VersionSummary, states: Mapping[SkillVersionId, SkillState], verdicts: Mapping[SkillVersionId, str]
) -> VersionSummary:
    return replace(one, state=states.get(one.id, one.state), verdict=verdicts.get(one.id, one.verdict))


def _verdicts(view: View, wanted: Iterable[SkillVersionId], policy: ScanPolicy) -> dict[SkillVersionId, str]:
    """The verdicts of versions by the policy and the waivers as they are now."""
    now = utcnow()
    found = (view.versions[one] for one in wanted if one in view.versions)
    return {one.id: judged(one.report, policy, now, waivers=view.rules.waivers).verdict.name for one in found}


def _states(view: View, wanted: Iterable[SkillVersionId]) -> dict[SkillVersionId, SkillState]:
    """The states of versions that are neither quarantined nor revoked nor gone. Of many large locks this takes a while,
    so it is not for the event loop."""
    now = utcnow()
    found = (view.versions[one] for one in wanted if one in view.versions)
    return {
        version.id: state_under(evaluate_closure(version.locks, view.rules, now))
        for version in found
        if version.state in _REVIEWED
    }
