"""A report as a CycloneDX 1.6 bill of materials: files, packages, who needs whom, vulnerabilities, waivers (VEX)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Final

import orjson
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.bom_ref import BomRef
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.dependency import Dependency
from cyclonedx.output.json import JsonV1Dot6

import skillyard
from skillyard.governance.formats.inventory import Inventory, purl
from skillyard.governance.formats.vex import OURS, vulnerabilities
from skillyard.governance.report import PackageRef, Report
from skillyard.skills.lock import LockedPackage
from skillyard.skills.skill import Ecosystem

_ROOT: Final = "skill"
_NAMESPACE: Final = uuid.UUID("6f1d5a3e-5d0c-5b0a-9f0e-0d5f3c6a7b1e")
"""Of our serial numbers: the same report gives the same document."""


def to_cyclonedx(about: Inventory) -> bytes:
    """The document as indented JSON, ending with a line break. The same report gives the same bytes."""
    report = about.report
    packages = {_ref(*one): one[1] for one in about.packages()}
    refs = {package: purl(package).to_string() for package in packages}
    files = {file.path: f"file:{file.path}" for file in about.skill.bundle.files}
    skill = Component(
        bom_ref=_ROOT,
        name=about.skill.name,
        version=about.skill.version or None,
        type=ComponentType.APPLICATION,
        description=about.skill.description or None,
        hashes=[_sha256(report.bundle_digest.removeprefix("sha256:"))] if report.bundle_digest else [],
    )
    bom = Bom(
        serial_number=uuid.uuid5(_NAMESPACE, _identity(report)),
        metadata=BomMetaData(
            timestamp=report.made_at,
            component=skill,
            tools=[],
            properties=[Property(name=f"{OURS}:{name}", value=value) for name, value in _facts(report)],
        ),
        components=[
            *(_library(package, locked, refs[package]) for package, locked in packages.items()),
            *(_file(file.path, file.sha256, files[file.path]) for file in about.skill.bundle.files),
        ],
        dependencies=_dependencies(packages, refs, list(files.values())),
        vulnerabilities=vulnerabilities(about, refs, files),
    )
    bom.metadata.tools.components.add(
        Component(name="Skillyard", version=skillyard.__version__, type=ComponentType.APPLICATION)
    )
    written = JsonV1Dot6(bom).output_as_string()
    return orjson.dumps(orjson.loads(written), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _library(package: PackageRef, locked: LockedPackage, ref: str) -> Component:
    namespace, _, name = package.name.rpartition("/")
    return Component(
        bom_ref=ref,
        group=namespace or None,
        name=name,
        version=package.version,
        type=ComponentType.LIBRARY,
        purl=purl(package),
        hashes=[_sha256(one.sha256) for one in locked.artefacts],
    )


def _file(path: str, sha256: str, ref: str) -> Component:
    return Component(bom_ref=ref, name=path, type=ComponentType.FILE, hashes=[_sha256(sha256)])


def _dependencies(
    packages: dict[PackageRef, LockedPackage], refs: dict[PackageRef, str], files: list[str]
) -> Iterator[Dependency]:
    """The skill needs its files, what it declares, and what nothing else is known to ask for."""
    below: dict[tuple[Ecosystem, str], list[str]] = {}
    top = list(files)
    for package, locked in packages.items():
        if locked.direct or not locked.required_by:
            top.append(refs[package])
        for asker in locked.required_by:
            below.setdefault((package.ecosystem, asker), []).append(refs[package])
    yield Dependency(BomRef(_ROOT), [Dependency(BomRef(one)) for one in top])
    for package, ref in refs.items():
        needed = below.get((package.ecosystem, package.name), ())
        yield Dependency(BomRef(ref), [Dependency(BomRef(one)) for one in needed])


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    yield "verdict", report.verdict.name
    yield "bundle_digest", report.bundle_digest
    yield "lock_digest", report.lock_digest
    yield "policy", report.policy
    for one in report.evidence:
        dated = "" if one.data_date is None else f", data of {one.data_date.isoformat()}"
        yield (
            f"scanner:{one.scanner}",
            f"{one.version} {one.state}{dated}{'' if one.reason is None else f': {one.reason}'}",
        )


def _identity(report: Report) -> str:
    return "\n".join(
        (report.bundle_digest, report.lock_digest, report.policy, report.made_at.isoformat(), *report.reasons)
    )


def _ref(ecosystem: Ecosystem, package: LockedPackage) -> PackageRef:
    return PackageRef(ecosystem, package.name, package.version)


def _sha256(digest: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=digest)
