"""What the rules say of one package on its own: asked before anything is written, installed or called. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from skillyard.governance import explain
from skillyard.governance.closure import Rules, compile_rules, evaluate_package
from skillyard.governance.decision import Maturity, Reason, RuleScope, RuleState
from skillyard.governance.report import PackageRef
from skillyard.governance.rule_groups import EMPTY_GROUP
from skillyard.governance.rules import parse_ecosystem, parse_hash, parse_name, parse_version
from skillyard.governance.standing import PackageState, Standing
from skillyard.skills.lock import LockedArtefact, LockedPackage
from skillyard.skills.skill import Ecosystem

_SOME_VERSION = {Ecosystem.PYPI: "0", Ecosystem.NPM: "0.0.0"}


@dataclass(frozen=True, slots=True)
class WantedPackage:
    """A package that is asked about. No version means any, no ``hashes`` any files. Made by ``wanted_package``."""

    ecosystem: Ecosystem
    name: str
    version: str
    hashes: frozenset[str] = frozenset()

    @property
    def ref(self) -> PackageRef:
        return PackageRef(self.ecosystem, self.name, self.version)


class Answer(StrEnum):
    """What a package alone does to a call; the rest of a skill may forbid more, and never less."""

    ALLOW = "allow"
    HOLD = "hold"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class ForMaturity:
    maturity: Maturity
    answer: Answer
    reason: Reason


@dataclass(frozen=True, slots=True)
class PackageAnswer:
    """Where a package stands, why, and what that means to agents of each maturity, the least mature first."""

    standing: Standing
    reasons: tuple[Reason, ...]
    by_maturity: tuple[ForMaturity, ...]

    def to(self, maturity: Maturity) -> ForMaturity:
        return self.by_maturity[maturity]


def wanted_package(
    *, ecosystem: str, name: str, version: str | None, hashes: Iterable[str] = (), place: str = ""
) -> WantedPackage:
    """From text; ``None`` for any version. Raises ``RuleError`` whose field begins with ``place``."""
    known = parse_ecosystem(ecosystem, field=f"{place}ecosystem")
    return WantedPackage(
        ecosystem=known,
        name=parse_name(known, name, field=f"{place}name"),
        version="" if version is None else parse_version(known, version, field=f"{place}version"),
        hashes=frozenset(parse_hash(one, field=f"{place}hashes") for one in hashes),
    )


def check_package(wanted: WantedPackage, rules: Rules, now: datetime) -> PackageAnswer:
    """Total over its inputs. Any version is approved, or banned, where a rule says so of every version."""
    standing = _of_version(wanted, rules, now) if wanted.version else _of_any_version(wanted, rules, now)
    reasons = [_reason(standing)]
    if standing.state in _UNAPPROVED and not wanted.hashes and (bound := _bound_elsewhere(wanted, rules, now)):
        reasons.append(bound)
    return PackageAnswer(
        standing, tuple(reasons), tuple(_for_maturity(standing, reasons[0], maturity) for maturity in Maturity)
    )


_UNAPPROVED = (PackageState.UNKNOWN, PackageState.PENDING, PackageState.EXPIRED)


def _of_version(wanted: WantedPackage, rules: Rules, now: datetime) -> Standing:
    return evaluate_package(wanted.ecosystem, _locked(wanted, wanted.version), rules, now)


def _of_any_version(wanted: WantedPackage, rules: Rules, now: datetime) -> Standing:
    about = rules.by_name.get((wanted.ecosystem, wanted.name), EMPTY_GROUP)
    unlimited = compile_rules(
        workspace=rules.workspace,
        epoch=rules.epoch,
        rules=[rule for rule in about.rules if not rule.specifier],
        asked={ref: asked for ref, asked in rules.asked.items() if ref == wanted.ref},
    )
    package = _locked(wanted, _SOME_VERSION[wanted.ecosystem])
    return replace(evaluate_package(wanted.ecosystem, package, unlimited, now), package=wanted.ref)


def _locked(wanted: WantedPackage, version: str) -> LockedPackage:
    files = tuple(LockedArtefact(filename="", sha256=one, size=None) for one in sorted(wanted.hashes))
    return LockedPackage(wanted.name, version, files, (), direct=True)


def _bound_elsewhere(wanted: WantedPackage, rules: Rules, now: datetime) -> Reason | None:
    """Says so where the version is approved, and only for files that whoever asks did not name."""
    about = rules.by_name.get((wanted.ecosystem, wanted.name), EMPTY_GROUP)
    meant = about.meaning(wanted.version) if wanted.version else about.rules
    bound = [
        rule
        for rule in meant
        if rule.state is RuleState.APPROVED and rule.hashes and (rule.expires_at is None or rule.expires_at > now)
    ]
    if not bound:
        return None
    text = f"Rule {bound[0].id} approves it for certain files only; ask with the hashes of yours."
    return Reason("bound_to_files", text, wanted.ref)


def _reason(standing: Standing) -> Reason:
    match standing.state:
        case PackageState.BANNED:
            return explain.banned(standing)
        case PackageState.APPROVED:
            return _approved(standing)
        case _:
            return explain.unapproved(standing)


def _approved(standing: Standing) -> Reason:
    rule = standing.rule
    which = "" if rule is None else f" by {'global ' if rule.scope is RuleScope.GLOBAL else ''}rule {rule.id}"
    until = "" if rule is None or rule.expires_at is None else f" until {rule.expires_at.date().isoformat()}"
    text = f"{standing.package} is approved{which} for {standing.minimum.name} agents and above{until}."
    return Reason("approved_package", text, standing.package)


def _for_maturity(standing: Standing, reason: Reason, maturity: Maturity) -> ForMaturity:
    if standing.state is PackageState.BANNED:
        return ForMaturity(maturity, Answer.DENY, reason)
    if maturity is Maturity.STUDENT:
        text = "A STUDENT agent uses skills of instructions only, and so no package. An admin can promote the agent."
        return ForMaturity(maturity, Answer.DENY, Reason("student_code", text, standing.package))
    if standing.state is not PackageState.APPROVED:
        return ForMaturity(maturity, Answer.HOLD, reason)
    if standing.minimum > maturity:
        return ForMaturity(maturity, Answer.DENY, explain.maturity_too_low(standing, maturity))
    return ForMaturity(maturity, Answer.ALLOW, reason)
