"""What goes into the runtime and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from skillyard.errors import InputError
from skillyard.governance.decision import Decision, SkillState
from skillyard.governance.report import PackageRef, Report
from skillyard.ids import AgentId, ApprovalId, InvocationId, LockDigest, SkillId, SkillVersionId, WorkspaceId
from skillyard.runtime.slots import Place
from skillyard.sandbox.outcome import InputFile, Outcome
from skillyard.skills.lock import Lock
from skillyard.skills.skill import Skill


@dataclass(frozen=True, slots=True)
class SkillRef:
    """``publisher/name`` or ``publisher/name@version``; without a version, the one the pointer names."""

    publisher: str
    name: str
    version: str | None = None

    @classmethod
    def parse(cls, text: str) -> SkillRef:
        path, _, version = text.partition("@")
        publisher, slash, name = path.rpartition("/")
        if not name or (slash and not publisher) or "/" in publisher or ("@" in text and not version):
            raise InputError(f"{text!r} is not publisher/name or publisher/name@version", field="skill")
        return cls(publisher or "local", name, version or None)

    def __str__(self) -> str:
        path = f"{self.publisher}/{self.name}"
        return f"{path}@{self.version}" if self.version else path


@dataclass(frozen=True, slots=True)
class InstalledVersion:
    """One version of a skill in a workspace, with all that was found out when it was installed."""

    id: SkillVersionId
    skill_id: SkillId
    workspace: WorkspaceId
    publisher: str
    name: str
    version: str
    state: SkillState
    skill: Skill
    locks: tuple[Lock, ...]
    lock_digest: LockDigest
    """Over all of ``locks``."""
    report: Report
    origin: str
    commit: str | None
    installed_at: datetime

    @property
    def ref(self) -> SkillRef:
        return SkillRef(self.publisher, self.name, self.version)

    @property
    def place(self) -> Place:
        """What its sandboxes are of."""
        return Place(self.id, self.lock_digest, self.workspace)


@dataclass(frozen=True, slots=True)
class Installation:
    """What an install did. ``unapproved`` are the packages that no approval covers yet."""

    version: InstalledVersion
    created: bool
    """False where this very version and content was installed before."""
    active: bool
    """Whether the skill's pointer names this version now."""
    unapproved: tuple[PackageRef, ...]


@dataclass(frozen=True, slots=True)
class SkillSummary:
    """A skill of a workspace: the version its pointer names, and every version that is installed."""

    id: SkillId
    publisher: str
    name: str
    description: str
    kind: str
    active_version: str | None
    versions: tuple[VersionSummary, ...]


@dataclass(frozen=True, slots=True)
class VersionSummary:
    id: SkillVersionId
    version: str
    state: SkillState
    verdict: str
    bundle_digest: str
    lock_digest: str
    installed_at: datetime


@dataclass(frozen=True, slots=True)
class Pin:
    """What calls of an agent go to where they name no version. ``skill`` names one."""

    agent: AgentId
    skill: SkillRef
    pinned_at: datetime


@dataclass(frozen=True, slots=True)
class Swap:
    """A pointer that moved from ``old`` to ``new``; ``reason`` says why it did not; ``new`` is then only stored."""

    skill: SkillRef
    old: str | None
    new: str
    moved: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class InvokeRequest:
    """One call by an agent. ``entry`` is ``file:callable`` or a script's path; ``None`` takes the default entry."""

    workspace: WorkspaceId
    agent: AgentId
    skill: SkillRef
    entry: str | None = None
    input_json: bytes = b"{}"
    argv: tuple[str, ...] = ()
    stdin: bytes | Path = b""
    files: tuple[InputFile, ...] = ()
    timeout_seconds: float | None = None
    wait_for_approval: float = 0.0
    """Seconds that the call may wait where it is held; it is made by itself once it is approved."""
    result_file_above: int | None = None
    """Results of more bytes than this come as a file of the call instead; ``None`` keeps every result as it is."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """A call's end. ``approval`` is the request that waits where the decision was Hold."""

    id: InvocationId
    skill: SkillRef
    decision: Decision
    outcome: Outcome
    approval: ApprovalId | None = None
