"""The chapters, in the order in which they are told. Each checks every step of its own."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from skillyard.api.schemas.advisories import AdvisoryStatusView
from skillyard.api.schemas.approvals import ApprovalView
from skillyard.api.schemas.audit import VerificationView
from skillyard.api.schemas.invocations import InvocationView
from skillyard.api.schemas.packages import RuleView
from skillyard.api.schemas.reports import ReportView
from skillyard.api.schemas.skills import InstallationView, SkillSummaryView, VersionView
from skillyard.cli.client import parsed
from skillyard.cli.demo.market import marketplace
from skillyard.cli.demo.scanning import hostile, waive
from skillyard.cli.demo.server import command
from skillyard.cli.demo.stage import REPORT, Stage, make_call
from skillyard.cli.demo.swap import swap_while_calls_run
from skillyard.cli.demo.timeline import draw
from skillyard.cli.exit_codes import RefusedByServerError
from skillyard.cli.installed import skill_path
from skillyard.cli.saved import save
from skillyard.governance.advisories.source import RecordKind
from skillyard.runtime.values import SkillRef
from skillyard.sandbox.outcome import OutcomeState

VERIFY_SECONDS = 180
STOP_SECONDS = 45
_PNG = b"\x89PNG\r\n\x1a\n"
_BAD = "Its release was not made by its maintainers."
_VULNERABLE = ("jinja2", "PYSEC-2019-217")
"""One of the packages that legacy-fetch pins, and an advisory that the embedded snapshot has about it."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """A part of the story. ``needs`` are the chapters that have to be told before."""

    name: str
    title: str
    tell: Callable[[Stage], None]
    needs: tuple[str, ...] = ()


_WORDS = {RecordKind.ADVISORIES: "advisories about", RecordKind.NAMES: "names of malicious"}


def advisories(stage: Stage) -> None:
    status = parsed(AdvisoryStatusView, stage.cast.alice.get("/v1/advisories").value)
    now = datetime.now(UTC)
    stage.require(bool(status.datasets), "an advisory index", "it holds no data")
    for one in status.datasets:
        age = (now - one.data_date).days
        stage.narrator.good(
            f"{one.advisories} {_WORDS[one.kind]} {one.ecosystem.value} packages, from the {one.source} of "
            f"{one.data_date:%Y-%m-%d} ({age} days old)"
        )
        stage.require(age <= status.max_age_days, "a policy that accepts this age", f"{status.max_age_days} days")
    stage.narrator.say(
        "This snapshot ships with Skillyard and is old. A server refuses to decide by it until `advisories update`;"
    )
    stage.narrator.say(f"the demo alone accepts its age, by SKILLYARD_ADVISORIES_MAX_AGE_DAYS={status.max_age_days:g}.")
    stage.notes["advisories"] = {
        one.ecosystem.value: f"{one.data_date:%Y-%m-%d}" for one in status.datasets if one.kind is RecordKind.ADVISORIES
    }


def install(stage: Stage) -> None:
    stage.narrator.say("Alice, an admin, installs skills/csv-report. It declares pandas and matplotlib.")
    with stage.narrator.waiting("resolving its packages to a hashed lock, and scanning them"):
        made = parsed(InstallationView, stage.install(stage.cast.alice, stage.skills / "csv-report"))
    packages = [package for lock in made.version.locks for package in lock.packages]
    names = {package.name for package in made.unapproved}
    stage.require({"pandas", "matplotlib"} <= names, "pandas and matplotlib to wait for approval", sorted(names))
    stage.require(made.version.state.value == "held", "the version to be held", made.version.state.value)
    stage.require(made.version.report.verdict in {"PASS", "FLAG"}, "nothing to block it", made.version.report.verdict)
    stage.narrator.good(
        f"{made.version.publisher}/{made.version.name}@{made.version.version}: {len(packages)} packages locked, "
        f"scan {made.version.report.verdict}, {len(names)} of them new here: held"
    )
    stage.narrator.say("Her agent report-bot, an INTERN, calls it all the same.")
    held = stage.report_call(stage.cast.intern)
    stage.require(held.decision.kind == "hold" and held.approval is not None, "the call to be held", held.decision.kind)
    stage.narrator.good(f"The call is held, nothing ran, and approval request {held.approval} waits.")
    stage.notes["approval"] = held.approval


def approve(stage: Stage) -> None:
    path = f"/v1/approvals/{stage.notes['approval']}"
    stage.narrator.say("Alice tries to approve it herself.")
    try:
        alone = parsed(ApprovalView, stage.cast.alice.post(f"{path}/approve").value)
    except RefusedByServerError as error:
        stage.refused("Alice", error, "second_person_required")
        stage.narrator.good(f"Refused: {error}.")
    else:
        stage.require(False, "a second person to be needed", f"request {alone.id} is {alone.state.value}")
    asked = parsed(ApprovalView, stage.cast.bob.get(path).value)
    stage.narrator.say(
        f"Bob, the second person, looks at the {len(asked.packages)} new packages and approves the lock."
    )
    done = parsed(ApprovalView, stage.cast.bob.post(f"{path}/approve", {"comment": "looked at in the demo"}).value)
    stage.require(done.state.value == "approved", "the request to be approved", done.state.value)
    version = parsed(VersionView, stage.cast.alice.get(skill_path(REPORT)).value)
    stage.require(version.state.value == "active", "the skill to be active", version.state.value)
    stage.narrator.good(f"Approved: {len(done.packages)} rules, each for one exact version and its files.")


def invoke(stage: Stage) -> None:
    stage.narrator.say("report-bot calls again, with skills/csv-report/assets/sample.csv.")
    with stage.narrator.waiting("fetching packages; the first time also making the base image", _stored(stage)):
        view = stage.report_call(stage.cast.intern)
    rows = _succeeded(stage, view)
    lines = (stage.skills / "csv-report" / "assets" / "sample.csv").read_text().splitlines()
    stage.require(rows == len(lines) - 1, f"a summary of {len(lines) - 1} rows", rows)
    chart = next((file for file in view.outcome.files if file.path == "chart.png"), None)
    if chart is None:
        stage.require(False, "a chart", [file.path for file in view.outcome.files])
        return
    content = b"".join(stage.cast.intern.download(chart.url))
    stage.require(content.startswith(_PNG) and len(content) == chart.size, "a whole PNG", f"{len(content)} bytes")
    place = save(stage.output, "chart.png", [content])
    stage.narrator.good(f"It summarised {rows} rows. The chart is in {place}")
    hosts = stage.containers.host_configs()
    apart = [
        one["NetworkMode"] == "none" and one["ReadonlyRootfs"] and one["CapDrop"] == ["ALL"] and not one["Privileged"]
        for one in hosts
    ]
    stage.require(bool(apart) and all(apart), "hardened containers alone", f"{len(hosts)}, {apart.count(True)} of them")
    stage.narrator.good("The engine says of its container: no network, a read-only root, no capabilities.")
    started = time.perf_counter()
    _succeeded(stage, stage.report_call(stage.cast.intern))
    stage.narrator.good(f"Once more, now warm: {(time.perf_counter() - started) * 1000:.0f} ms, chart included.")
    stage.notes["chart"] = str(place)


def upgrade(stage: Stage) -> None:
    stage.narrator.say("Two clients of report-bot call without a pause, while Alice upgrades and then rolls back.")
    told = swap_while_calls_run(stage)
    stage.narrator.good(
        f"{told.calls} calls: {told.by_version['1.0.0']} answered by 1.0.0, {told.by_version['1.1.0']} by 1.1.0, "
        "none lost, none failed."
    )
    stage.narrator.say(f"From the request to the new version answering: {told.swap_seconds * 1000:.0f} ms.")
    for line in draw(told.answered):
        stage.narrator.say(f"  {line}")
    stage.narrator.good("The pointer is back at 1.0.0.")
    stage.notes["swap"] = {
        "calls": told.calls,
        "by_version": told.by_version,
        "lost": 0,
        "milliseconds": round(told.swap_seconds * 1000),
    }


def blocked(stage: Stage) -> None:
    stage.narrator.say("Alice tries skills/legacy-fetch, which pins libraries of 2018.")
    try:
        with stage.narrator.waiting("resolving and scanning"):
            stage.install(stage.cast.alice, stage.skills / "legacy-fetch")
    except RefusedByServerError as error:
        stage.refused("the install", error, "report_refused")
        report = parsed(ReportView, error.facts.get("report"))
    else:
        stage.require(False, "the vulnerable skill to be blocked", "it was installed")
        return
    stage.require(report.verdict == "BLOCK", "the verdict BLOCK", report.verdict)
    package, advisory = _VULNERABLE
    bad = [one for one in report.findings if one.level == "BLOCK" and one.package is not None]
    known = [one for one in bad if one.package and one.package.name == package and one.advisory == advisory]
    stage.require(bool(known), f"{advisory} about {package} to be found", [one.advisory for one in bad])
    stage.narrator.good(f"BLOCK: {len(bad)} advisories. Among them:")
    for one in (known[0], *(other for other in bad if other is not known[0]))[:3]:
        if one.package is not None:
            fixed = f", fixed in {', '.join(one.fixed_in)}" if one.fixed_in else ""
            name = f"{one.package.name} {one.package.version}"
            stage.narrator.say(f"  rule {one.rule}: package {name}, advisory {one.advisory}{fixed}")
    installed = {skill.name for skill in stage.cast.alice.pages("/v1/skills", SkillSummaryView)}
    stage.require("legacy-fetch" not in installed, "nothing of it to be installed", sorted(installed))
    stage.narrator.good("Nothing of it was installed.")
    stage.notes["blocked"] = [one.advisory for one in bad]


def student(stage: Stage) -> None:
    stage.narrator.say("homework-bot, a STUDENT, calls csv-report, which is approved.")
    view = stage.report_call(stage.cast.student)
    codes = [reason.code for reason in view.decision.reasons]
    stage.require(view.decision.kind == "deny" and "student_code" in codes, "a STUDENT to be refused", codes)
    stage.narrator.good(f"Refused: {view.decision.reasons[0].message}")
    guide = SkillRef(REPORT.publisher, "writing-guide")
    stage.install(stage.cast.alice, stage.skills / guide.name)
    told = make_call(stage.cast.student, guide, {}, {})
    stage.require(told.outcome.state is OutcomeState.SUCCEEDED, "instructions to be read", told.outcome.reason)
    stage.narrator.good(f"It may read skills of instructions only, such as {guide}.")


def ban(stage: Stage) -> None:
    warm = stage.containers.count()
    stage.require(warm > 0, "a warm sandbox that holds pandas", "none is left")
    stage.narrator.say(f"{warm} of its sandboxes wait for calls. Alice hears something bad about pandas, and bans it.")
    began = time.perf_counter()
    rule = parsed(RuleView, stage.cast.alice.post("/v1/packages/ban", {"name": "pandas", "reason": _BAD}).value)
    while (left := stage.containers.count()) and time.perf_counter() - began < STOP_SECONDS:
        time.sleep(0.02)
    took = time.perf_counter() - began
    stage.require(left == 0, "every sandbox that holds pandas to be stopped", f"{left} run after {took:.1f} s")
    stage.narrator.good(f"Rule {rule.id}: banned. {took * 1000:.0f} ms later none of them runs any more.")
    stage.narrator.say("report-bot calls once more. What Bob approved is still approved.")
    view = stage.report_call(stage.cast.intern)
    (reason,) = (one for one in view.decision.reasons if one.code == "banned_package")
    stage.require(view.decision.kind == "deny" and _BAD in reason.message, "the call to be refused", reason.message)
    stage.narrator.good(f"Refused: {reason.message}")
    stage.notes["ban"] = {"stopped": warm, "milliseconds": round(took * 1000)}


def audit(stage: Stage) -> None:
    # The server signs every minute what was recorded since; between the two looks it must find nothing to sign.
    stage.cast.alice.post("/v1/audit/head")
    over_http = parsed(VerificationView, stage.cast.alice.get("/v1/audit/verify").value)
    stage.require(over_http.broken is None, "an unbroken audit chain", over_http.broken)
    arguments = ("audit", "verify", "--workspace", "default", "--json")
    said = subprocess.run(
        command(stage.server.environment, *arguments), capture_output=True, timeout=VERIFY_SECONDS, check=False
    )
    stage.require(said.returncode == 0, "`skillyard audit verify` to end with 0", said.stderr.decode(errors="replace"))
    (chain,) = json.loads(said.stdout)["chains"]
    on_disk = VerificationView.model_validate(chain)
    stage.require(on_disk == over_http, "the file and the server to agree", f"{on_disk.head} and {over_http.head}")
    stage.narrator.good(
        f"{on_disk.records} records of who did what, chained by hashes: none edited, deleted or reordered "
        "(the server says so, and `skillyard audit verify` on the file)."
    )
    stage.notes["audit_records"] = on_disk.records


CHAPTERS = (
    Chapter("advisories", "What is known about vulnerabilities", advisories),
    Chapter("install", "A skill that needs pandas is installed, and held", install),
    Chapter("approve", "A second person approves", approve, needs=("install",)),
    Chapter("invoke", "The skill turns a CSV into a summary and a chart", invoke, needs=("install", "approve")),
    Chapter("upgrade", "Upgraded while calls run, and rolled back", upgrade, needs=("install", "approve")),
    Chapter("blocked", "A skill with vulnerable packages is blocked", blocked),
    Chapter("hostile", "A skill that means harm is blocked, and shown why", hostile),
    Chapter("waive", "An advisory is waived, for a reason and a time", waive),
    Chapter("student", "A STUDENT is refused", student, needs=("install", "approve")),
    Chapter("ban", "A package is banned, and what runs is stopped", ban, needs=("install", "approve", "invoke")),
    Chapter("marketplace", "Published there, called here; rated here, revoked there", marketplace),
    Chapter("audit", "Everything is on record", audit),
)


def _succeeded(stage: Stage, view: InvocationView) -> object:
    """The rows that a report counted."""
    outcome = view.outcome
    stage.require(outcome.state is OutcomeState.SUCCEEDED, "the call to succeed", f"{outcome.state}: {outcome.reason}")
    return outcome.result.get("rows") if isinstance(outcome.result, dict) else outcome.result


def _stored(stage: Stage) -> Callable[[], tuple[int, int | None]]:
    """How many of the lock's packages are on disk already."""
    version = parsed(VersionView, stage.cast.alice.get(skill_path(REPORT)).value)
    packages = [{one.sha256 for one in package.artefacts} for lock in version.locks for package in lock.packages]
    store = stage.server.home / "environments" / "wheels"

    def measure() -> tuple[int, int | None]:
        there = {path.name for path in store.glob("*/*")}
        return sum(1 for hashes in packages if hashes & there), len(packages)

    return measure
