"""What an instance makes of findings: which level each gets, how old data may be, what scanners are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property

import orjson

from skillyard.governance.advisories.severity import RANK
from skillyard.governance.report import Finding, Severity, Verdict
from skillyard.governance.scan_policy_file import PolicyFile, read_policy_file
from skillyard.settings import Settings


@dataclass(frozen=True)
class ScanPolicy:
    """What evidence must be like, and what findings do.

    ``max_age`` bounds the age of a scanner's data, ``None`` takes any age. An advisory of ``block_at`` or worse
    BLOCKs, a milder one FLAGs; unknown severity counts as high. ``scanner_timeout`` is in seconds, for each scanner.
    Whatever a policy says, a record of malware BLOCKs, and what a scanner could not tell stays INDETERMINATE unless
    ``rules`` names that very rule.
    """

    max_age: timedelta | None = timedelta(days=7)
    block_at: Severity = Severity.HIGH
    scanner_timeout: float = 120.0
    source_builds: bool = False
    """Whether packages may be built from source; what was built so is a FLAG then, and a BLOCK otherwise."""
    block_at_cvss: float | None = None
    """An advisory with this CVSS base score or a higher one BLOCKs too, whatever its severity is called."""
    block_known_exploited: bool = False
    """An advisory that is in CISA's catalogue of known exploited vulnerabilities BLOCKs too."""
    rules: Mapping[str, Verdict] = field(default_factory=dict)
    """Levels of rules, in the place of what their scanners say."""
    required_scanners: tuple[str, ...] = ()
    """Scanners without whose evidence a report is INDETERMINATE, beyond those that are there."""
    private_names: tuple[str, ...] = ()
    """Patterns of package names (``*`` stands for any text) that only the organisation's own index may have."""
    known_names: tuple[str, ...] = ()
    """Package names that are not taken for a misspelt popular one."""
    minimum_release_age_days: float = 0.0

    @classmethod
    def from_settings(cls, settings: Settings) -> ScanPolicy:
        """The policy of the file that the settings name, over what settings say themselves. Reads that file.

        Raises ``PolicyFileError``, with file, line and field.
        """
        policy = cls(
            max_age=timedelta(days=settings.advisories_max_age_days),
            source_builds=settings.source_builds == "allow",
            minimum_release_age_days=settings.minimum_release_age_days,
        )
        return policy if settings.scan_policy is None else policy.with_file(read_policy_file(settings.scan_policy))

    def with_file(self, file: PolicyFile) -> ScanPolicy:
        """What a file says; what it does not say stays as it is."""
        said = file.model_dump(exclude_unset=True, exclude={"version", "max_age_days", "rules"})
        if file.max_age_days is not None:
            said["max_age"] = timedelta(days=file.max_age_days)
        if "rules" in file.model_fields_set:
            said["rules"] = {rule: Verdict[level.upper()] for rule, level in file.rules.items()}
        return replace(self, **said)

    @cached_property
    def digest(self) -> str:
        """Over everything that the policy says."""
        return _digest(
            {
                **self._asked(),
                "max_age": None if self.max_age is None else self.max_age.total_seconds(),
                "block_at": self.block_at.value,
                "block_at_cvss": self.block_at_cvss,
                "block_known_exploited": self.block_known_exploited,
                "source_builds": self.source_builds,
                "scanner_timeout": self.scanner_timeout,
                "rules": {rule: level.name for rule, level in self.rules.items()},
                "required_scanners": sorted(self.required_scanners),
                "known_names": sorted(self.known_names),
            }
        )

    @cached_property
    def asked(self) -> str:
        """Over what scanners look for because the policy says so: a report that was made without it lacks findings."""
        return _digest(self._asked())

    @property
    def asks_nothing(self) -> bool:
        """Whether a report that was made without any policy has everything that this one asks scanners for."""
        return not self.private_names and not self.minimum_release_age_days

    def level_of(self, finding: Finding) -> Verdict:
        """What a finding does to the verdict; ``finding.level`` is what its scanner said."""
        if finding.malware:
            return Verdict.BLOCK
        if (wanted := self.rules.get(finding.rule)) is not None:
            return wanted
        # Without an advisory the scanner knows best; and where it could not tell, no severity tells.
        if finding.advisory is None or finding.level is Verdict.INDETERMINATE:
            return finding.level
        exploited = finding.exploitation is not None and finding.exploitation.kev_added is not None
        scored = finding.cvss is not None and self.block_at_cvss is not None and finding.cvss >= self.block_at_cvss
        return Verdict.BLOCK if scored or (exploited and self.block_known_exploited) else self.level(finding.severity)

    def level(self, severity: Severity) -> Verdict:
        return Verdict.BLOCK if RANK[severity] >= RANK[self.block_at] else Verdict.FLAG

    def _asked(self) -> dict[str, object]:
        return {
            "private_names": sorted(self.private_names),
            "minimum_release_age_days": self.minimum_release_age_days,
        }


def _digest(facts: Mapping[str, object]) -> str:
    return "sha256:" + hashlib.sha256(orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)).hexdigest()
