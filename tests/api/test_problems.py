"""Every error has a status, and none says more than it should."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import httpx
import pytest
import skillyard
from fastapi import FastAPI
from skillyard.api.problems import STATUSES, detail_of, install_handlers, status_of
from skillyard.errors import InputError, MachineError, SkillyardError
from skillyard.governance.errors import GovernanceError
from skillyard.runtime.errors import QueueFullError
from skillyard.sandbox.errors import SandboxError

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "http-api.md"
for module in walk_packages(skillyard.__path__, "skillyard."):
    if ".migrations" not in module.name and ".guest" not in module.name:
        import_module(module.name)


def kinds(of: type[SkillyardError] = SkillyardError) -> Iterator[type[SkillyardError]]:
    yield of
    for below in of.__subclasses__():
        if below.__module__.startswith("skillyard."):
            yield from kinds(below)


def made_without_arguments(kind: type[SkillyardError]) -> SkillyardError:
    """An instance whatever its constructor wants: statuses and general texts depend on the class alone."""
    return kind.__new__(kind)


ALL = sorted(set(kinds()), key=lambda kind: kind.__qualname__)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__qualname__)
def test_the_status_fits_the_kind_of_error(kind: type[SkillyardError]) -> None:
    status = status_of(made_without_arguments(kind))
    if issubclass(kind, InputError):
        assert 400 <= status < 500
    if issubclass(kind, MachineError):
        assert status >= 500, "its message may hold paths and output of tools"
    if kind in {GovernanceError, SandboxError, SkillyardError}:
        assert status == 500, "what nobody thought about is the server's fault"


@pytest.mark.parametrize("kind", [kind for kind in ALL if status_of(made_without_arguments(kind)) >= 500])
def test_a_servers_fault_has_a_sentence_of_its_own_and_says_no_more(kind: type[SkillyardError]) -> None:
    error = made_without_arguments(kind)
    error.args = ("/home/secret/path SELECT * FROM tokens",)
    detail = detail_of(error)
    assert "secret" not in detail
    assert detail.endswith("."), f"{kind.__qualname__} needs a docstring that says in general what went wrong"


@pytest.mark.parametrize("kind", STATUSES, ids=lambda kind: kind.__qualname__)
def test_every_status_of_the_table_is_documented(kind: type[SkillyardError]) -> None:
    rows = {row[0]: row[1] for row in re.findall(r"^\| ([\d, ]+) \| (.*) \|$", REFERENCE.read_text(), re.MULTILINE)}
    documented = {int(status): text for statuses, text in rows.items() for status in statuses.split(",")}
    assert STATUSES[kind] in documented


async def test_an_unknown_error_says_nothing_and_known_ones_keep_their_place() -> None:
    app = FastAPI()
    install_handlers(app)

    @app.get("/unknown")
    async def unknown() -> None:
        raise RuntimeError("token sky_1_secret in /home/x")

    @app.get("/place")
    async def place() -> None:
        raise InputError("two of them", file="SKILL.md", line=7, field="name")

    @app.get("/full")
    async def full() -> None:
        raise QueueFullError(waiting=9, retry_after=1.2)

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        answer = await client.get("/unknown")
        assert (answer.status_code, answer.json()["code"]) == (500, "internal")
        assert "secret" not in answer.text
        problem = (await client.get("/place")).json()
        assert (problem["file"], problem["line"], problem["field"]) == ("SKILL.md", 7, "name")
        busy = await client.get("/full")
        assert (busy.status_code, busy.headers["retry-after"], busy.json()["code"]) == (429, "2", "queue_full")


async def test_the_log_of_an_unknown_error_holds_no_local_variables(capsys: pytest.CaptureFixture[str]) -> None:
    app = FastAPI()
    install_handlers(app)

    @app.get("/unknown")
    async def unknown() -> None:
        password = "a value that only " + "a local variable holds"
        raise RuntimeError(f"{len(password)}")

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        await client.get("/unknown")
    printed = capsys.readouterr()
    assert "RuntimeError" in printed.out + printed.err
    assert "a value that only a local variable holds" not in printed.out + printed.err
