"""What a waiver is, how one is written, and which findings it covers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from skillyard.errors import InputError
from skillyard.governance.report import MALWARE, Finding, PackageRef, Verdict
from skillyard.governance.rules import parse_ecosystem, parse_expiry, parse_hash, parse_name, parse_text, parse_version
from skillyard.ids import PersonId, WaiverId, WorkspaceId
from skillyard.skills.skill import Ecosystem

ADVISORY_MAX: Final = 128
RULE_MAX: Final = 100
_ADVISORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*")
_RULE = re.compile(r"[a-z0-9]+([_./:-][a-z0-9]+)*")


class WaiverError(InputError):
    """A waiver that is not valid, or that would cover what none covers; names the field."""

    code = "invalid_waiver"


@dataclass(frozen=True, slots=True)
class WaiverDraft:
    """A waiver that is valid and not stored yet: about one advisory of one package version, or one rule in one file.

    Made by ``draft_waiver`` alone.
    """

    package: PackageRef | None
    advisory: str | None
    rule: str | None
    file_sha256: str | None
    reason: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Waiver:
    """A waiver of a workspace. Its owner is the person who answers for it; revoked ones are kept."""

    id: WaiverId
    workspace: WorkspaceId
    package: PackageRef | None
    advisory: str | None
    rule: str | None
    file_sha256: str | None
    reason: str
    owner: PersonId
    owner_name: str
    expires_at: datetime
    created_at: datetime
    revoked_at: datetime | None = None

    def holds(self, now: datetime) -> bool:
        return self.revoked_at is None and now < self.expires_at

    @property
    def about(self) -> str:
        """What it is about, in words."""
        if self.package is not None:
            return f"{self.advisory} in {self.package}"
        return f"rule {self.rule} in the file sha256:{self.file_sha256}"


def draft_waiver(
    *,
    reason: str,
    expires_at: datetime,
    now: datetime,
    ecosystem: str | None = None,
    name: str | None = None,
    version: str | None = None,
    advisory: str | None = None,
    rule: str | None = None,
    file_sha256: str | None = None,
) -> WaiverDraft:
    """A waiver from text. Raises ``WaiverError`` or ``RuleError`` naming the field."""
    of_package = [ecosystem, name, version, advisory]
    of_file = [rule, file_sha256]
    about_package = all(one is not None for one in of_package) and not any(one is not None for one in of_file)
    about_file = all(one is not None for one in of_file) and not any(one is not None for one in of_package)
    if not about_package and not about_file:
        raise WaiverError(
            "a waiver is either about ecosystem, name, version and advisory, or about rule and file_sha256; all of "
            "one and nothing of the other"
        )
    until = parse_expiry(expires_at, now=now)
    assert until is not None  # noqa: S101 - an expiry goes in
    package = None
    if ecosystem is not None and name is not None and version is not None:
        kind = parse_ecosystem(ecosystem)
        package = PackageRef(kind, parse_name(kind, name), parse_version(kind, version))
    return WaiverDraft(
        package=package,
        advisory=None if advisory is None else parse_advisory(advisory),
        rule=None if rule is None else _rule(rule),
        file_sha256=None
        if file_sha256 is None
        else parse_hash(file_sha256.removeprefix("sha256:"), field="file_sha256"),
        reason=parse_text(reason, field="reason"),
        expires_at=until,
    )


def parse_advisory(text: str) -> str:
    """An advisory's identifier. Raises ``WaiverError``, for one of a malicious package too."""
    found = text.strip()
    if len(found) > ADVISORY_MAX or not _ADVISORY.fullmatch(found):
        raise WaiverError("is not the identifier of an advisory", field="advisory")
    if found.upper().startswith(MALWARE):
        raise WaiverError(
            f"{found} says that the package is malicious, and nothing waives that; remove the package", field="advisory"
        )
    return found


def covering(finding: Finding, waivers: Iterable[Waiver], now: datetime) -> Waiver | None:
    """The waiver that lets a finding be, of several the one that lasts longest."""
    if why_not_waivable(finding) is not None:
        return None
    found = [one for one in waivers if one.holds(now) and is_about(one, finding)]
    return max(found, key=lambda one: (one.expires_at, one.id), default=None)


def is_about(waiver: Waiver | WaiverDraft, finding: Finding) -> bool:
    """Whether a finding is the one that a waiver names; whether it covers it is another question."""
    if waiver.package is not None:
        known = {one.upper() for one in (finding.advisory, *finding.aliases) if one is not None}
        return finding.package == waiver.package and waiver.advisory is not None and waiver.advisory.upper() in known
    return finding.rule == waiver.rule and finding.file_sha256 is not None and finding.file_sha256 == waiver.file_sha256


def why_not_waivable(finding: Finding) -> str | None:
    """Why no waiver covers a finding, as a sentence; ``None`` where one can."""
    level = finding.level if finding.waiver is None else finding.waiver.level
    if finding.malware:
        return "A record of a malicious package is never waived; remove the package."
    if level is Verdict.INDETERMINATE:
        return "What could not be told is never waived; mend what keeps the scan from telling."
    if finding.file is not None and finding.file_sha256 is None and finding.advisory is None:
        return "Its file is in no bundle, so it has no digest that a waiver could name."
    if not waivable(finding):
        return "It names neither an advisory of a package nor a file, so there is nothing that a waiver could name."
    return None


def how_to_waive(finding: Finding) -> str:
    """What would waive a finding: the command that does, or why none does."""
    if (refusal := why_not_waivable(finding)) is not None:
        return refusal
    about = f"--rule {finding.rule} --file-digest {finding.file_sha256}"
    if finding.package is not None and finding.advisory is not None:
        kind = "" if finding.package.ecosystem is Ecosystem.PYPI else f" --ecosystem {finding.package.ecosystem}"
        about = f"--package {finding.package} --advisory {finding.advisory}{kind}"
    return f"skillyard waivers add {about} --reason WHY --expires-days N"


def waivable(finding: Finding) -> bool:
    """Whether a finding names what a waiver has to name."""
    about_package = finding.package is not None and finding.advisory is not None
    return about_package or finding.file_sha256 is not None


def _rule(text: str) -> str:
    found = text.strip()
    if len(found) > RULE_MAX or not _RULE.fullmatch(found):
        raise WaiverError("is not the identifier of a rule", field="rule")
    return found
