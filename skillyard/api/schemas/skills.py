"""Installing, listing, inspecting and swapping skills."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, Field, JsonValue, StringConstraints, model_validator
from pydantic_core import from_json

from skillyard.api.schemas.reports import PackageView, ReportView
from skillyard.api.schemas.values import Body, Name, VersionText, View
from skillyard.governance.decision import SkillState
from skillyard.skills.skill import Ecosystem, ParseMode, SkillKind


class GitOrigin(Body):
    """A Git repository: an ``https://`` or ``ssh://`` address, a branch, tag or commit, a folder in it."""

    url: Annotated[str, StringConstraints(min_length=1, max_length=2048)]
    ref: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    subfolder: Annotated[str, StringConstraints(min_length=1, max_length=512)] | None = None


class InstallRequest(Body):
    """Exactly one of ``git``, ``path`` and ``source``. ``path`` is a path on the server, and needs the setting that
    allows it. ``source`` is a skill of a remote, ``remote:publisher/name@version`` or the like; its publisher is
    kept, and ``publisher`` is not asked for."""

    publisher: Name = "local"
    mode: ParseMode = ParseMode.LENIENT
    git: GitOrigin | None = None
    path: Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None = None
    source: Annotated[str, StringConstraints(min_length=1, max_length=400)] | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> InstallRequest:
        if sum(one is not None for one in (self.git, self.path, self.source)) != 1:
            raise ValueError("give one of git, path and source")
        if self.source is not None and "publisher" in self.model_fields_set:
            raise ValueError("a skill of a remote keeps its publisher; leave publisher out")
        return self


class UploadFields(Body):
    """The text fields that go with an uploaded archive."""

    publisher: Name = "local"
    mode: ParseMode = ParseMode.LENIENT


class UploadForm(UploadFields):
    """The multipart form of an upload: the archive in ``file``, beside the text fields."""

    file: bytes = Field(description="A zip or tar archive (plain, gzip, bzip2 or xz) of the skill's folder.")


class ActivateRequest(Body):
    version: VersionText


class RollbackRequest(Body):
    """Without ``version``: the version that was active before the present one."""

    version: VersionText | None = None


class OriginView(View):
    file: str
    line: int | None
    field: str | None


class DeclaredView(View):
    ecosystem: Ecosystem
    name: str
    requirement: str
    origin: OriginView


class NoteView(View):
    code: str
    message: str
    file: str
    line: int | None
    field: str | None


class RequestedView(View):
    network_hosts: tuple[str, ...]
    memory_bytes: int | None
    timeout_seconds: float | None


class BundleFileView(View):
    path: str
    sha256: str
    size: int
    executable: bool


class BundleView(View):
    digest: str
    size: int
    files: tuple[BundleFileView, ...]


class ArtefactView(View):
    filename: str
    sha256: str
    size: int | None


class LockedPackageView(View):
    name: str
    version: str
    direct: bool
    required_by: tuple[str, ...]
    artefacts: tuple[ArtefactView, ...]


class TargetView(View):
    python: str
    platform: str


class SourceBuildView(View):
    """A package that is built from its source archive, with the closure of what its build needs."""

    package: str
    requirements: tuple[LockedPackageView, ...]


class LockView(View):
    ecosystem: Ecosystem
    digest: str
    target: TargetView
    packages: tuple[LockedPackageView, ...]
    builds: tuple[SourceBuildView, ...]


def _entry_text(value: object) -> object:
    return value if isinstance(value, str) else str(value)


def _json_text(value: object) -> object:
    return from_json(value) if isinstance(value, str) else value


class SkillView(View):
    """What the skill's folder says, as it was parsed when it was installed."""

    name: str
    description: str
    version: str
    version_declared: bool
    kind: SkillKind
    license: str | None
    compatibility: str | None
    allowed_tools: tuple[str, ...]
    metadata: dict[str, str]
    declared: tuple[DeclaredView, ...]
    requested: RequestedView
    entries: tuple[Annotated[str, BeforeValidator(_entry_text)], ...]
    input_schema: Annotated[JsonValue, BeforeValidator(_json_text)]
    notes: tuple[NoteView, ...]
    bundle: BundleView


class VersionView(View):
    """One installed version, with its lock and its report."""

    id: int
    publisher: str
    name: str
    version: str
    state: SkillState
    origin: str
    commit: str | None
    installed_at: datetime
    skill: SkillView
    locks: tuple[LockView, ...]
    report: ReportView


class InstallationView(View):
    """``created`` is false where this version and content was installed before; ``unapproved`` wait for approval."""

    version: VersionView
    created: bool
    active: bool
    unapproved: tuple[PackageView, ...]


class VersionSummaryView(View):
    id: int
    version: str
    state: SkillState
    verdict: str
    bundle_digest: str
    lock_digest: str
    installed_at: datetime


class SkillSummaryView(View):
    id: int
    publisher: str
    name: str
    description: str
    kind: SkillKind
    active_version: str | None
    versions: tuple[VersionSummaryView, ...]


class SwapView(View):
    """A move of a skill's pointer. Where ``moved`` is false, ``reason`` says why and ``old`` still serves calls."""

    skill: Annotated[str, BeforeValidator(_entry_text)]
    old: str | None
    new: str
    moved: bool
    reason: str | None
