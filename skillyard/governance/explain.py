"""Why, in plain sentences: each names the package, rule or advisory it is about, and what to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from skillyard.governance.decision import Allow, Maturity, PackageRule, Reason, RuleScope
from skillyard.governance.report import EvidenceState, Finding, Report, Verdict
from skillyard.governance.standing import PackageState, Standing


def banned(standing: Standing) -> Reason:
    rule = standing.rule
    text = f"{standing.package} is banned {_by(rule)}{_because(rule)}. {_ban_way_out(rule)}"
    return Reason("banned_package", text, standing.package)


def unapproved(standing: Standing) -> Reason:
    """A package that no approval covers: unknown, waiting, or with an approval that ran out."""
    package = standing.package
    match standing.state:
        case PackageState.PENDING:
            kind, which = ("package", standing.asked) if standing.request is None else ("approval", standing.request)
            text = f"{package} waits for an admin to decide {kind} request {which}."
            return Reason("pending_package", text, package)
        case PackageState.EXPIRED:
            ended = standing.rule.expires_at if standing.rule else None
            when = f" on {_day(ended)}" if ended else ""
            text = f"The approval of {package} {_by(standing.rule)} expired{when}. An admin can approve it again."
            return Reason("expired_approval", text, package)
        case _:
            text = f"{package} is not approved in this workspace, or not with these files. An admin can approve it."
            return Reason("unknown_package", text, package)


def maturity_too_low(standing: Standing, maturity: Maturity) -> Reason:
    text = (
        f"{standing.package} is approved {_by(standing.rule)} for {standing.minimum.name} agents and above; "
        f"this agent is {maturity.name}. An admin can promote the agent, or approve the package for {maturity.name}."
    )
    return Reason("maturity_too_low", text, standing.package)


def blocked(report: Report) -> tuple[Reason, ...]:
    found = tuple(_finding("report_blocked", item) for item in report.findings if item.level is Verdict.BLOCK)
    return found or (Reason("report_blocked", f"The scan blocks this version. {_first(report)}"),)


def indeterminate(report: Report, *, stale_at: datetime | None) -> tuple[Reason, ...]:
    """A report that cannot say: missing evidence, findings that cannot tell, or data that is too old by now."""
    gaps = [
        f"Scanner {item.scanner} is {item.state}: {item.reason or 'it gave no reason'}. Mend it and scan again."
        for item in report.evidence
        if item.state is not EvidenceState.RAN
    ]
    reasons = [Reason("report_indeterminate", text) for text in gaps]
    reasons += [_finding("report_indeterminate", f) for f in report.findings if f.level is Verdict.INDETERMINATE]
    if stale_at is not None:
        reasons.append(_stale(report, stale_at))
    return tuple(reasons) or (Reason("report_indeterminate", f"The scan could not judge it. {_first(report)}"),)


def report_of_something_else(part: str) -> Reason:
    text = f"The scan report is about another {part} than this version has. Install or scan it again."
    return Reason("report_mismatch", text)


def single_use(publisher: str, pattern: str) -> Reason:
    rule = "every publisher" if pattern == "*" else f"publishers like {pattern}"
    text = f"Each call gets a new sandbox: the server's settings say so of {rule}, and this one is {publisher}."
    return Reason("single_use", text)


def supervised(allow: Allow) -> Allow:
    """The same Allow for an agent whose calls are watched, which is told so."""
    text = "This agent is SUPERVISED: the call is recorded in full, and an admin may watch it and stop it."
    return replace(allow, supervised=True, reasons=(*allow.reasons, Reason("supervised", text)))


def flagged(report: Report) -> tuple[Reason, ...]:
    return tuple(_finding("report_flagged", item) for item in report.findings if item.level is Verdict.FLAG)


def data_dates(report: Report) -> str:
    dated = [f"{item.scanner} of {_day(item.data_date)}" for item in report.evidence if item.data_date is not None]
    return ", ".join(dated) or "none that has a date"


def _stale(report: Report, now: datetime) -> Reason:
    text = (
        f"On {_day(now)} the scan's data is too old or dated in the future ({data_dates(report)}). "
        "Run `skillyard advisories update`, then scan again."
    )
    return Reason("report_stale", text)


def _finding(code: str, finding: Finding) -> Reason:
    about = f"{finding.package}: " if finding.package and str(finding.package) not in finding.message else ""
    advisory = f" ({finding.advisory})" if finding.advisory and finding.advisory not in finding.message else ""
    fixed = f" Fixed in {', '.join(finding.fixed_in)}." if finding.fixed_in and "ixed in" not in finding.message else ""
    text = f"{about}{finding.message.rstrip('.')}{advisory} [rule {finding.rule}].{fixed}{_waived(finding)}"
    return Reason(code, text, finding.package)


def _waived(finding: Finding) -> str:
    if finding.waiver is None:
        return ""
    waiver = finding.waiver
    return f" Waived by {waiver.owner} until {_day(waiver.until)} (waiver {waiver.id}): {waiver.reason}"


def _first(report: Report) -> str:
    return report.reasons[0] if report.reasons else "The report gives no reason."


def _by(rule: PackageRule | None) -> str:
    if rule is None:
        return ""
    name = f"{rule.name}{rule.specifier}" if rule.specifier else f"{rule.name}, every version"
    return f"by {'global ' if rule.scope is RuleScope.GLOBAL else ''}rule {rule.id} ({name})"


def _because(rule: PackageRule | None) -> str:
    return f": {rule.reason.rstrip('.')}" if rule is not None and rule.reason else ""


def _ban_way_out(rule: PackageRule | None) -> str:
    if rule is not None and rule.expires_at is not None:
        return f"The ban ends on {_day(rule.expires_at)}."
    who = "operator" if rule is not None and rule.scope is RuleScope.GLOBAL else "admin"
    return f"Use a version without it, or ask an {who} to lift the ban."


def _day(moment: datetime | None) -> str:
    return "an unknown day" if moment is None else moment.date().isoformat()
