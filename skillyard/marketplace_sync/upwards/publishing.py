"""A version made ready to go up: scanned here first, its files kept until they are there, signed by its publisher.

The workspace's publisher key is an Ed25519 key in a file of the home, made at first use. What it signs is a statement
over the bundle's digest, with the digest of the lock and the verdict that this instance came to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import orjson

from skillyard.errors import InputError
from skillyard.governance.report import Report, Verdict
from skillyard.governance.signing import SigningKey, load_or_make
from skillyard.ids import WorkspaceId
from skillyard.marketplace_sync.catalogue.documents import PackageFact, VersionDocument, moment
from skillyard.marketplace_sync.catalogue.entry import canonical
from skillyard.marketplace_sync.catalogue.statement import Statement, signed_statement
from skillyard.marketplace_sync.upwards.manifest import manifest_of
from skillyard.marketplace_sync.upwards.values import UploadDraft, UploadKind
from skillyard.runtime.errors import ReportRefusedError
from skillyard.runtime.install import Prepared
from skillyard.runtime.values import InstalledVersion, SkillRef
from skillyard.skills.bundle_store import BundleStore
from skillyard.skills.lock import Lock, closure_digest
from skillyard.skills.skill import ParseMode, Skill
from skillyard.skills.source import Source
from skillyard.times import utcnow

MAX_PACKAGES = 400
"""Of the closure, named in the document; of more it says how many there are."""


@dataclass(frozen=True, slots=True)
class Publishable:
    """A version with all that is known of it here. Its bundle is in the runtime's store."""

    skill: Skill
    locks: tuple[Lock, ...]
    report: Report


class Bench(Protocol):
    """What a publisher needs of the runtime; ``Runtime`` is one."""

    bundles: BundleStore

    async def prepare(self, source: Source, *, mode: ParseMode) -> Prepared:
        """Fetch, parse, resolve and scan without installing."""

    async def version(self, workspace: WorkspaceId, ref: SkillRef) -> InstalledVersion:
        """One installed version; raises ``NotFoundError``."""


class Publisher:
    """Makes uploads of versions."""

    def __init__(self, *, bench: Bench, home: Path) -> None:
        """``home`` is where keys are kept, and bundles until they are sent."""
        self._bench = bench
        self._keys = home / "keys"
        self.outgoing = BundleStore(home / "outgoing")
        """Apart from what is installed, so that nothing collects a bundle that is on its way."""

    async def prepared(self, source: Source) -> Publishable:
        """A skill from a folder or an archive: parsed strictly, resolved and scanned here.

        Raises what ``Runtime.prepare`` raises, and ``ReportRefusedError`` for a verdict that no hub makes visible.
        """
        found = await self._bench.prepare(source, mode=ParseMode.STRICT)
        return _checked(Publishable(found.skill, found.locks, found.report))

    async def installed(self, workspace: WorkspaceId, ref: SkillRef) -> Publishable:
        """A version that is installed. Raises ``NotFoundError``, and as ``prepared``."""
        found = await self._bench.version(workspace, ref)
        return _checked(Publishable(found.skill, found.locks, found.report))

    async def draft(
        self,
        version: Publishable,
        *,
        workspace: WorkspaceId,
        publisher: str,
        channel: str | None,
        created_by: str,
        base: str | None,
        keys: Collection[str],
    ) -> UploadDraft:
        """The upload. ``base`` is the number it was made from, where that is known; ``keys`` are those that the
        publisher signs with at the remote: without any, versions go up unsigned, for nobody could check a signature.

        Raises ``InputError`` where the publisher signs, and not with this workspace's key.
        """
        skill = version.skill
        folder = self._bench.bundles.path(skill.bundle.digest)
        await asyncio.to_thread(self.outgoing.put, folder, skill.bundle)
        name = f"{publisher}/{skill.name}@{skill.version}"
        lock = closure_digest(version.locks)
        stated = Statement(name, skill.bundle.digest, lock, version.report.verdict.name)
        signature = await asyncio.to_thread(self._signed, stated, workspace, keys)
        packages = sorted(
            (lock.ecosystem.value, package.name, package.version) for lock in version.locks for package in lock.packages
        )
        facts = [
            PackageFact.model_validate({"ecosystem": ecosystem, "name": package, "version": number})
            for ecosystem, package, number in packages
        ]
        document = VersionDocument.model_validate(
            {
                "bundle": skill.bundle.digest,
                "bundle_bytes": skill.bundle.size,
                "files": len(skill.bundle.files),
                "lock": lock,
                "kind": skill.kind,
                "ecosystems": tuple(sorted({one.ecosystem for one in version.locks})),
                "packages": tuple(facts[:MAX_PACKAGES]),
                "packages_in_all": len(facts),
                "verdict": version.report.verdict.name,
                "scanned_at": moment(version.report.made_at),
                "published_at": moment(utcnow()),
                "signature": signature,
            }
        )
        return UploadDraft(
            kind=UploadKind.VERSION,
            key=name,
            document=document.text
            if channel is None
            else canonical({**orjson.loads(document.text), "channel": channel}),
            created_by=created_by,
            base_rev=0,
            manifest_json=manifest_of(skill, base=base).text,
        )

    def key(self, workspace: WorkspaceId) -> SigningKey:
        """The workspace's publisher key, made now where there is none. Blocks on disk."""
        return load_or_make(self._key_path(workspace))

    def _signed(self, stated: Statement, workspace: WorkspaceId, keys: Collection[str]) -> str | None:
        if not keys:
            return None
        key = self.key(workspace)
        if key.public.hex not in keys:
            publisher = stated.version.partition("/")[0]
            raise InputError(
                f"{publisher} signs its versions there, and not with this workspace's key; add it there: "
                f"{key.public.hex}",
                field="publisher",
            )
        return signed_statement(stated, key)

    def _key_path(self, workspace: WorkspaceId) -> Path:
        return self._keys / f"publisher-{workspace}.ed25519"


def _checked(version: Publishable) -> Publishable:
    if version.report.verdict not in (Verdict.PASS, Verdict.FLAG):
        raise ReportRefusedError(version.report)
    if not version.skill.version_declared:
        raise InputError("what is published says its version", file="SKILL.md", field="metadata.version")
    return version
