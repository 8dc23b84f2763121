"""``packages check``, ``request`` and what becomes of requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from skillyard.api.schemas.packages import AskedView, CheckedView, PackageAnswerView, PackageRequestView
from skillyard.cli.agent_names import MaturityName, agent_id
from skillyard.cli.client import Server, connected, parsed
from skillyard.cli.exit_codes import ExitCode, UsageProblemError
from skillyard.cli.package_words import ExpiresDays, Kind, expiry, split_package
from skillyard.cli.screen import Json, Screen, table
from skillyard.cli.texts import read_text
from skillyard.governance.check import Answer
from skillyard.governance.decision import RequestState
from skillyard.governance.standing import PackageState
from skillyard.skills.skill import Ecosystem

Id = Annotated[int, typer.Argument(metavar="REQUEST", min=1)]
Comment = Annotated[str | None, typer.Option("--comment", help="For the record.")]


def check(
    packages: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PACKAGE]...", help="As in pandas==2.1.0, or for npm, lodash@4.17.21."),
    ] = None,
    *,
    file: Annotated[
        Path | None, typer.Option("--file", help="A requirements file or a pylock.toml, in place of packages.")
    ] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Say what it means to this agent.")] = None,
    ecosystem: Kind = Ecosystem.PYPI,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Where exact versions of packages stand, and why.

    Ends with 0 where all are approved (with --agent: for that agent), 1 where one is banned or denied, else 4.
    """
    screen = Screen(json=json)
    if bool(packages) == (file is not None):
        raise UsageProblemError("give either packages or --file", field="PACKAGE")
    with connected(server) as client:
        body: dict[str, object] = {"agent": None if agent is None else agent_id(client, agent)}
        if file is not None:
            body |= {"text": read_text(file), "file": file.name}
        else:
            body["packages"] = [_asked(one, ecosystem) for one in packages or ()]
        found = parsed(CheckedView, client.post("/v1/packages/check", body).value)
    screen.answer(found, lambda: _checked(found))
    return _exit_code(found.packages)


def request(
    package: Annotated[str, typer.Argument(metavar="PACKAGE", help="With or without an exact version.")],
    *,
    reason: Annotated[str, typer.Option("--reason", help="What it is needed for; whoever decides reads it.")],
    ecosystem: Kind = Ecosystem.PYPI,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Ask for a package. Ends with 0 where it is approved already, 4 where it waits, 1 where it is banned or denied."""
    screen = Screen(json=json)
    name, version = split_package(package, ecosystem)
    body = {"ecosystem": ecosystem.value, "name": name, "version": version, "reason": reason}
    with connected(server) as client:
        found = parsed(AskedView, client.post("/v1/packages/request", body).value)
    screen.answer(found, lambda: _asked_for(found))
    if found.request is not None and found.request.state is RequestState.DENIED:
        return ExitCode.REFUSED
    return _exit_code([found.package])


def list_requests(
    *,
    state: Annotated[RequestState | None, typer.Option("--state", help="Default: all that wait.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Whatever their state.")] = False,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Requests for packages, the longest waiting first."""
    screen = Screen(json=json)
    wanted = None if every else (state or RequestState.PENDING).value
    with connected(server) as client:
        found = list(client.pages("/v1/packages/requests", PackageRequestView, state=wanted))
    screen.answer({"requests": found}, lambda: request_table(found))
    return ExitCode.DONE


def approve_request(
    request: Id,
    *,
    maturity: Annotated[
        MaturityName | None,
        typer.Option("--maturity", case_sensitive=False, help="The least mature agent it is for; default: who asked."),
    ] = None,
    versions: Annotated[str | None, typer.Option("--versions", help="Default: what was asked for.")] = None,
    comment: Comment = None,
    expires_days: ExpiresDays = None,
    server: Server = None,
    json: Json = False,
) -> ExitCode:
    """Approve a package that was asked for. Needs a second person."""
    body = {
        "min_maturity": None if maturity is None else maturity.value,
        "specifier": versions,
        "comment": comment,
        "expires_at": expiry(expires_days),
    }
    return _decided(request, "approve", body, server, Screen(json=json))


def deny_request(request: Id, *, comment: Comment = None, server: Server = None, json: Json = False) -> ExitCode:
    """Say no to a package that was asked for."""
    return _decided(request, "deny", {"comment": comment}, server, Screen(json=json))


def request_table(found: Iterable[PackageRequestView]) -> list[str]:
    rows = [
        (
            str(one.id),
            one.ecosystem.value,
            f"{one.name} {one.version or '(any)'}",
            one.state.value,
            f"agent {one.requested_by_agent}" if one.requested_by_agent else f"person {one.requested_by_person}",
            f"{one.created_at:%F %R}",
            one.reason,
        )
        for one in found
    ]
    return table(("id", "ecosystem", "package", "state", "asked by", "asked (UTC)", "reason"), rows)


def waiting_lines(found: Sequence[PackageRequestView]) -> list[str]:
    """Below the approvals that wait: the requests for packages that do; nothing where there are none."""
    if not found:
        return []
    return ["", "Requests for packages (skillyard packages approve-request ID):", *request_table(found)]


def _decided(request: int, verb: str, body: Mapping[str, object], server: str | None, screen: Screen) -> ExitCode:
    with connected(server) as client:
        found = parsed(PackageRequestView, client.post(f"/v1/packages/requests/{request}/{verb}", body).value)
    by = "" if found.rule is None else f" by rule {found.rule}"
    screen.answer(found, lambda: [f"package request {found.id} about {found.name} is {found.state.value}{by}"])
    return ExitCode.DONE


def _asked(text: str, ecosystem: Ecosystem) -> dict[str, object]:
    name, version = split_package(text, ecosystem)
    if version is None:
        raise UsageProblemError(f"{text!r} names no exact version", field="PACKAGE")
    return {"ecosystem": ecosystem.value, "name": name, "version": version}


def _checked(found: CheckedView) -> Iterator[str]:
    rows = [
        (one.ecosystem.value, f"{one.name} {one.version}", one.state.value, one.min_maturity or "-", _answers(one))
        for one in found.packages
    ]
    yield from table(("ecosystem", "package", "stands", "from", "what it means"), rows)
    for one in found.packages:
        yield from (f"  - {reason.message}" for reason in one.reasons)


def _answers(one: PackageAnswerView) -> str:
    if one.for_agent is not None:
        return f"{one.for_agent.answer.value} ({one.for_agent.maturity})"
    return ", ".join(f"{each.maturity} {each.answer.value}" for each in one.by_maturity)


def _asked_for(found: AskedView) -> Iterator[str]:
    if found.request is None:
        yield f"nothing to ask for: {found.package.reasons[0].message}"
    elif found.request.state is RequestState.DENIED:
        yield f"package request {found.request.id} was denied: {found.request.comment or 'no comment'}"
    else:
        yield f"package request {found.request.id} about {found.request.name} waits for a second person"


def _exit_code(packages: Iterable[PackageAnswerView]) -> ExitCode:
    worst = ExitCode.DONE
    for one in packages:
        answer = None if one.for_agent is None else one.for_agent.answer
        if one.state is PackageState.BANNED or answer is Answer.DENY:
            return ExitCode.REFUSED
        if one.state is not PackageState.APPROVED:
            worst = ExitCode.HELD
    return worst
