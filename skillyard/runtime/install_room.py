"""Whether a workspace's quotas leave room for one version more, asked in the transaction that stores it."""

from __future__ import annotations

from skillyard.database import Session
from skillyard.governance import quota_store
from skillyard.governance.quotas import Quota, require_room
from skillyard.ids import WorkspaceId
from skillyard.runtime import store, usage
from skillyard.runtime.tables import SkillRow
from skillyard.skills.skill import Bundle


async def require_room_to_install(
    session: Session, workspace: WorkspaceId, bundle: Bundle, skill: SkillRow | None
) -> None:
    """``skill`` is the one that the version is of, where it has had versions before.

    Raises ``QuotaExceededError``. A bundle that the workspace has already, under another version, takes nothing.
    """
    quotas = await quota_store.load(session, workspace)
    is_new = skill is None or not await store.versions_of(session, skill)
    if is_new and quotas.of(Quota.SKILLS) is not None:
        require_room(quotas, Quota.SKILLS, used=await usage.skills_in_use(session, workspace))
    if quotas.of(Quota.STORAGE) is not None and not await usage.has_bundle(session, workspace, bundle.digest):
        used = await usage.storage_in_use(session, workspace)
        require_room(quotas, Quota.STORAGE, used=used, wanted=bundle.size)
