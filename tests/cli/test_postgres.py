"""The whole product on PostgreSQL: server processes over one database and one home, and what the commands say of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.cli.conftest import SKILLS, Cli, Served, new_cli, serving, skill
from tests.postgres import Cluster


@pytest.fixture
def url(postgres: Cluster) -> Iterator[str]:
    """A database that is empty, as an administrator makes it."""
    name = asyncio.run(postgres.create(template=None))
    yield postgres.url(name)
    asyncio.run(postgres.drop(name))


@pytest.fixture
def cli(url: str, tmp_path: Path, package_cache: Path) -> Cli:
    return new_cli(tmp_path, package_cache, database_url=url)


def token(server: Served, admin: str, kind: str, name: str, *options: str) -> str:
    made = server(kind, "create", name, *options, token=admin)
    assert made.code == 0, made.err
    issued = server(kind, "token", name, token=admin)
    assert issued.code == 0, issued.err
    return issued.out.strip()


@pytest.mark.timeout(600)  # two dozen commands, each a process of its own
def test_two_servers_on_one_database_are_one_skillyard(cli: Cli, postgres: Cluster, tmp_path: Path) -> None:
    """From the first start to the restart: installed here, called there, banned here, refused there, all of it kept."""
    before = cli("doctor", "--json").document
    (found,) = [check for check in before["checks"] if check["name"] == "database"]
    assert (found["state"], found["facts"]["schema"]) == ("ok", None)

    with ExitStack() as stack:
        here = stack.enter_context(serving(cli, log="here.log"))
        there = stack.enter_context(serving(cli, log="there.log"))
        admin = here.token
        assert admin
        assert not there.token
        second = token(here, admin, "people", "bob", "--role", "admin")
        intern = token(there, admin, "agents", "report-bot", "--maturity", "intern")

        assert here("install", SKILLS / "writing-guide", token=admin).code == 0
        assert there("invoke", "local/writing-guide", token=intern).code == 0
        assert here("install", skill(tmp_path, python="iniconfig==2.1.0"), token=admin).code == 0
        call = ("invoke", "local/adder", "--input", '{"x": 1}')
        held = there(*call, "--json", token=intern)
        assert held.code == 4, held.err
        approved = here("approvals", "approve", str(held.document["approval"]), token=second)
        assert approved.code == 0, approved.err
        answered = there(*call, token=intern)
        assert (answered.code, answered.out) == (0, "2\n"), answered.err
        assert here(*call, token=intern).out == "2\n"

        assert here("packages", "ban", "iniconfig", "--reason", "a test says so", token=admin).code == 0
        refused = there(*call, token=intern)
        assert refused.code == 1
        assert "a test says so" in refused.err

        by_name = {check["name"]: check for check in cli("doctor", "--json").document["checks"]}
        assert by_name["database"]["facts"]["engine"].startswith("PostgreSQL ")
        assert by_name["database"]["facts"]["schema"] == by_name["database"]["facts"]["needed"]
        assert by_name["stored"]["facts"]["database"]["bytes"] > 1_000_000
        pids = {lease["pid"] for lease in by_name["processes"]["facts"]["leases"]}
        assert pids == {here.process.pid, there.process.pid}

    with serving(cli, log="again.log") as again:
        assert not again.token
        listed = again("list", "--json", token=admin).document["skills"]
        assert {one["name"] for one in listed} == {"writing-guide", "adder"}
        assert again(*call, token=intern).code == 1
    verified = cli("audit", "verify", "--json")
    assert verified.code == 0, verified.err

    said = "".join(path.read_text() for path in cli.home.glob("*.log")) + cli("doctor").out + verified.out
    assert "127.0.0.1" in said
    assert postgres.password not in said
    assert not (cli.home / "skillyard.db").exists()


def test_a_database_that_is_away_is_said_without_the_password(cli: Cli, url: str, postgres: Cluster) -> None:
    away = url.replace(f":{postgres.port}/", ":1/")
    for command in (("serve", "--port", "0"), ("audit", "verify")):
        ended = cli(*command, database_url=away)
        assert ended.code == 5, ended.err
        assert postgres.password not in ended.out + ended.err
    looked = cli("doctor", "--json", database_url=away)
    (found,) = [check for check in looked.document["checks"] if check["name"] == "database"]
    assert (looked.code, found["state"]) == (5, "missing")
    assert found["hint"]
    assert postgres.password not in looked.out + looked.err


def test_a_url_of_an_unknown_kind_is_refused_without_repeating_it(cli: Cli) -> None:
    refused = cli("doctor", database_url="mysql://root:hunter2@db/x")
    assert refused.code == 2
    assert "DATABASE_URL" in refused.err
    assert "hunter2" not in refused.out + refused.err
