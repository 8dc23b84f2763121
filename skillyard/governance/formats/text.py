"""A report for people: what was found, by file and package, strongest first; what it rests on; what to do.

What scanners say and skills hold is foreign text: characters that a terminal would act on are written as escapes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from skillyard.governance.formats.inventory import Inventory
from skillyard.governance.report import (
    Capability,
    Evidence,
    EvidenceState,
    Finding,
    PackageRef,
    Report,
    Severity,
    Verdict,
    Waived,
)
from skillyard.governance.waivers.waiver import why_not_waivable

WIDEST = 110
_MOST_PLACES = 5
"""Places of one rule in one file that are listed; the others are counted."""
_PACKAGES = "packages"
_SKILL = "the whole skill"
_MEANING = {
    Verdict.PASS: "nothing speaks against it",
    Verdict.FLAG: "can be installed; look at what is flagged",
    Verdict.INDETERMINATE: "cannot be judged, so it would not be installed",
    Verdict.BLOCK: "would not be installed",
}
_STATES = {
    EvidenceState.RAN: "ran",
    EvidenceState.FAILED: "FAILED",
    EvidenceState.STALE: "TOO OLD",
    EvidenceState.MISSING: "MISSING",
}


def to_text(about: Inventory, width: int = WIDEST) -> bytes:
    """``report_lines`` as one text, ending with a line break."""
    return "".join(f"{line}\n" for line in report_lines(about, width)).encode()


def report_lines(about: Inventory, width: int = WIDEST) -> Iterator[str]:
    """The whole report as lines of at most ``width`` characters, but for words that are longer."""
    yield from map(_escaped, _lines(about, width))


def _escaped(line: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def _lines(about: Inventory, width: int) -> Iterator[str]:
    report, page = about.report, _Page(min(width, WIDEST))
    title = f"{about.skill.name} {about.skill.version}".strip()
    yield from page.wrapped(f"{report.verdict.name}  {title}: {_MEANING[report.verdict]}")
    yield _counts(about)
    for place, found in _by_place(report.findings):
        yield ""
        yield place
        if place == _PACKAGES:
            yield from _packages(found, about, page)
            continue
        for same in _by_rule(found):
            yield from _finding(same, page)
        yield from _waiving(found, page)
    yield ""
    yield "looked at by"
    yield from _evidence(report.evidence, page)
    used = _capabilities(report)
    if used:
        yield ""
        yield "its own code can, which is no finding by itself"
        yield from used


class _Page:
    """Wraps text below a label."""

    def __init__(self, width: int) -> None:
        self._width = max(width, 40)

    def wrapped(self, text: str, first: str = "", rest: str | None = None) -> list[str]:
        after = first if rest is None else rest
        return textwrap.wrap(
            text, self._width, initial_indent=first, subsequent_indent=after, break_on_hyphens=False
        ) or [first.rstrip()]

    def labelled(self, label: str, text: str, indent: int = 10) -> list[str]:
        return self.wrapped(text, f"{'':{indent}}{label:<7}", " " * (indent + 7))


def _counts(about: Inventory) -> str:
    counted = {level: sum(one.level is level for one in about.report.findings) for level in reversed(Verdict)}
    words = [f"{count} {level.name}" for level, count in counted.items() if count]
    waived = sum(one.waiver is not None for one in about.report.findings)
    packages = sum(1 for _ in about.packages())
    files = len(about.skill.bundle.files)
    where = _count(files, "file") if about.report.bundle_digest else "files that no bundle holds"
    found = ", ".join(words) if words else "nothing"
    more = f" ({waived} waived)" if waived else ""
    so_far = "" if all(one.state is EvidenceState.RAN for one in about.report.evidence) else " so far"
    return f"found{so_far}: {found}{more}, in {where} and {_count(packages, 'package')}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _by_place(findings: Sequence[Finding]) -> list[tuple[str, list[Finding]]]:
    """Files, packages and the rest, the one with the strongest finding first; findings keep their order."""
    places: dict[str, list[Finding]] = {}
    for one in findings:
        place = one.file if one.file is not None else _PACKAGES if one.package is not None else _SKILL
        places.setdefault(place, []).append(one)
    return list(places.items())


def _by_rule(findings: Sequence[Finding]) -> Iterable[list[Finding]]:
    """Findings of one rule and level together, in the order of the first of each."""
    rules: dict[tuple[Verdict, str, bool], list[Finding]] = {}
    for one in findings:
        rules.setdefault((one.level, one.rule, one.waiver is not None), []).append(one)
    return rules.values()


def _waiving(found: Sequence[Finding], page: _Page) -> Iterator[str]:
    """How to let findings of one file be: the same for all of its rules but for their names."""
    blocking = [one for one in found if one.level is Verdict.BLOCK and why_not_waivable(one) is None]
    rules = list(dict.fromkeys(one.rule for one in blocking))
    if not rules:
        return
    rule = rules[0] if len(rules) == 1 else "RULE"
    text = f"skillyard waivers add --rule {rule} --file-digest {blocking[0].file_sha256}"
    yield from page.wrapped(
        f"{text} --reason WHY --expires-days N lets {'it' if len(rules) == 1 else 'one'} be", "  ", "    "
    )


def _packages(found: Sequence[Finding], about: Inventory, page: _Page) -> Iterator[str]:
    """Package by package, advisories a line each: there may be dozens, and they all say the same kind of thing."""
    by_package: dict[PackageRef, list[Finding]] = {}
    for one in found:
        if one.package is not None:
            by_package.setdefault(one.package, []).append(one)
    for package, its in by_package.items():
        origins = [f"{one.file}{'' if one.line is None else f':{one.line}'}" for one in about.declared_at(package)[:3]]
        from_ = f"  from {', '.join(origins)}" if origins else ""
        yield from page.wrapped(f"{package}{from_}", "  ", "      ")
        for one in its:
            if one.advisory is None or one.level is Verdict.INDETERMINATE or one.why is not None:
                yield from _finding([one], page)
            else:
                yield from _advisory(one, page)
    if any(one.advisory is not None and why_not_waivable(one) is None and one.waiver is None for one in found):
        text = "skillyard waivers add --package NAME==VERSION --advisory ID --reason WHY --expires-days N lets one be"
        yield from page.wrapped(text, "  ", "    ")


def _advisory(one: Finding, page: _Page) -> Iterator[str]:
    names = one.advisory if not one.aliases else f"{one.advisory} ({', '.join(one.aliases)})"
    severity = "severity unknown, counts as high" if one.severity is Severity.UNKNOWN else f"{one.severity} severity"
    score = "" if one.cvss is None else f", CVSS {one.cvss:.1f}"
    exploited = one.exploitation is not None and one.exploitation.kev_added is not None
    fixed = f"fixed in {', '.join(one.fixed_in)}" if one.fixed_in else "no fix is known"
    level = "WAIVED" if one.waiver is not None else one.level.name
    text = f"{names}: {severity}{score}{', known to be exploited' if exploited else ''}; {fixed}"
    yield from page.wrapped(text, f"    {level:<8}", " " * 12)
    if one.waiver is not None:
        yield from page.labelled("waived", _let_be(one.waiver), 12)
    elif one.malware:
        yield from page.labelled("waive", str(why_not_waivable(one)), 12)


def _let_be(waiver: Waived) -> str:
    return f"by {waiver.owner} until {waiver.until:%Y-%m-%d}: {waiver.reason}"


def _finding(same: Sequence[Finding], page: _Page) -> Iterator[str]:
    """One rule in one place: what it is, the lines it was seen on, why it matters and what to do."""
    first = same[0]
    level = (
        "WAIVED" if first.waiver is not None else "UNSURE" if first.level is Verdict.INDETERMINATE else first.level.name
    )
    yield from page.wrapped(_sentence(first.message), f"  {level:<8}", " " * 10)
    facts = [first.rule, *([f"{first.severity} severity"] if first.severity is not Severity.UNKNOWN else [])]
    facts.append(f"{first.confidence} confidence")
    if first.cvss is not None:
        facts.append(f"CVSS {first.cvss:.1f}")
    if first.exploitation is not None and first.exploitation.kev_added is not None:
        facts.append("known to be exploited")
    if first.said is not None and first.waiver is None:
        facts.append(f"the policy makes it {first.level.name}, its scanner says {first.said.name}")
    yield from page.labelled("rule", ", ".join(facts))
    for one in same[:_MOST_PLACES]:
        if one.message != first.message:
            yield from page.labelled("also", _sentence(one.message))
        if one.line is not None or one.evidence is not None:
            line = "" if one.line is None else f"line {one.line}: "
            yield from page.labelled("seen", f"{line}{one.evidence or ''}".strip().removesuffix(":"))
    if len(same) > _MOST_PLACES:
        yield from page.labelled("", f"and {len(same) - _MOST_PLACES} more; --format json lists all")
    if first.why is not None:
        yield from page.labelled("why", first.why)
    if first.fix is not None:
        yield from page.labelled("fix", first.fix)
    if first.waiver is not None:
        yield from page.labelled("waived", _let_be(first.waiver))
    elif first.level in (Verdict.BLOCK, Verdict.INDETERMINATE) and (refusal := why_not_waivable(first)) is not None:
        yield from page.labelled("waive", refusal)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _evidence(evidence: Iterable[Evidence], page: _Page) -> Iterator[str]:
    for one in sorted(evidence, key=lambda each: each.state is EvidenceState.RAN):
        dated = "" if one.data_date is None else f", data of {one.data_date:%Y-%m-%d}"
        text = f"{one.scanner} {one.version}".strip() + dated + ("" if one.reason is None else f": {one.reason}")
        yield from page.wrapped(text, f"  {_STATES[one.state]:<8}", " " * 10)
        for skipped in one.skipped[:_MOST_PLACES]:
            yield from page.wrapped(f"skipped {skipped}", " " * 10)


def _capabilities(report: Report) -> list[str]:
    found: dict[Capability, list[str]] = {}
    for one in report.evidence:
        for use in one.capabilities:
            found.setdefault(use.capability, []).append(f"{use.file}:{use.line}")
    lines = []
    for capability, places in found.items():
        shown = ", ".join(dict.fromkeys(places[:3])) + (f" and {len(places) - 3} more" if len(places) > 3 else "")
        lines.append(f"  {capability.value.replace('_', ' '):<14}{shown}")
    return lines
