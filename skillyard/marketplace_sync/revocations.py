"""What a revoke or a quarantine in a marketplace does to what is installed here: at this hub's word, or a remote's.

Inside the transaction that brings the word: ``stop_installed``, and ``enforce`` after its commit. Other processes hear
of the raised epoch and stop their own sandboxes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from skillyard.database import Session
from skillyard.governance import epoch
from skillyard.governance.decision import SkillState
from skillyard.governance.identity import Actor
from skillyard.ids import BundleDigest, WorkspaceId
from skillyard.marketplace_sync.catalogue.documents import ModerationState
from skillyard.runtime import bundle_stops
from skillyard.runtime.bundle_stops import StoppedVersion
from skillyard.runtime.events import SkillQuarantined
from skillyard.runtime.runtime import Runtime
from skillyard.times import utcnow

HUB = "hub"
"""The source of what this instance's own moderators said. A remote's is ``remote <id>``."""

_STATES = {ModerationState.QUARANTINED: SkillState.QUARANTINED, ModerationState.REVOKED: SkillState.REVOKED}


async def stop_installed(
    session: Session,
    workspace: WorkspaceId | None,
    bundle_digests: Collection[BundleDigest],
    *,
    reason: str,
    by: Actor,
    state: ModerationState,
    source: str = HUB,
    key: str = "",
) -> tuple[StoppedVersion, ...]:
    """Take everything installed of these bundles out of use, in one workspace or in all, raising the rules epoch.

    ``state`` is one that stops. Returns what was stopped; versions that are as strict already are not named again. Call
    ``enforce`` once it is committed.
    """
    if not bundle_digests:
        return ()
    stopped = await bundle_stops.stop(
        session,
        workspace,
        bundle_digests,
        source=source,
        key=key,
        state=_STATES[state],
        reason=reason,
        by=by,
        at=utcnow(),
    )
    await epoch.bump(session)
    return stopped


async def withdraw_stops(
    session: Session, workspace: WorkspaceId | None, bundle_digests: Collection[BundleDigest], *, source: str = HUB
) -> None:
    """The source took it back. What was stopped stays so until a person of the workspace lifts or installs it anew."""
    await bundle_stops.withdraw(session, workspace, bundle_digests, source=source)


async def withdraw_word(session: Session, workspace: WorkspaceId, *, source: str, key: str) -> None:
    """The same of everything that a source said of a key."""
    await bundle_stops.withdraw_word(session, workspace, source=source, key=key)


async def enforce(runtime: Runtime, stopped: Iterable[StoppedVersion]) -> None:
    """After the commit: end what runs of these in this process, and tell of each. Others do when they hear of it."""
    versions = tuple(stopped)
    for workspace in sorted({one.workspace for one in versions}):
        if runtime.enforcer.runs(workspace):
            await runtime.enforcer.enforce(workspace)
    for one in versions:
        skill = f"{one.ref.publisher}/{one.ref.name}"
        runtime.events.publish(SkillQuarantined(one.workspace, skill, one.ref.version or "", one.reason))
