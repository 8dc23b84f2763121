"""Where evidence, the engine or the package index is missing, nothing is installed, and nothing that was runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
from tests.acceptance.engines import FOLDER_NAME, MISBEHAVING, TIME_LIMIT, put
from tests.acceptance.people import People, answered, said
from tests.acceptance.skills import made
from tests.acceptance.stage import Stage
from tests.acceptance.story import Break, Edit, Story
from tests.acceptance.unreadable import UNREADABLE, with_files

PACKAGE = "six==1.17.0"
SKILL = made("small", "import six\n\n\ndef run():\n    return six.__version__\n", python=PACKAGE)
NOBODY = "http://127.0.0.1:9/simple"
"""The discard port: nobody listens there."""
STALE = "with an advisory index older than the policy takes, nothing is installed"
DAYS = "7"


def tell(stage: Stage) -> None:
    _too_old(stage)
    _damaged(stage)
    _scanner_missing(stage)
    _engine_misbehaves(stage)
    _files_that_cannot_be_read(stage)
    _index_away(stage)
    _what_was_good_before(stage)


def _too_old(stage: Stage) -> None:
    server = stage.serve(stage.home(), advisories_max_age_days=DAYS)
    _refused(stage, STALE, People(server))
    server.close()


def _damaged(stage: Stage) -> None:
    home = stage.home()
    server = stage.serve(home)
    people = People(server)
    index = home / "advisories.db"

    def cut() -> None:
        index.write_bytes(index.read_bytes()[: index.stat().st_size // 2])

    def turn_a_byte() -> None:
        """In the name of a package, where the file's own structure does not show it."""
        data = index.read_bytes()
        index.write_bytes(data.replace(b"jinja2", b"jinja3", 1))

    whole = index.read_bytes()
    ways: dict[str, Callable[[], object]] = {
        "cut": cut,
        "damaged by a byte": turn_a_byte,
        "not one at all": lambda: index.write_bytes(b"not an index"),
        "empty": lambda: index.write_bytes(b""),
        "gone": index.unlink,
    }
    for how, damage in ways.items():
        damage()
        _refused(stage, f"with an advisory index that is {how}, nothing is installed", people)
        index.write_bytes(whole)
    answered(people.upload(SKILL))
    server.close()


def _scanner_missing(stage: Stage) -> None:
    """A third party's scanner is installed and does not load: the evidence it would give is missing."""
    server = stage.serve(stage.home(), python_path=str(_broken_scanner(stage.folder())))
    _refused(stage, "with a scanner that does not load, nothing is installed", People(server))
    server.close()


def _broken_scanner(folder: Path) -> Path:
    metadata = folder / "acme_scanner-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-scanner\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[skillyard.scanners]\nacme = acme_scanner:create_scanner\n")
    (folder / "acme_scanner.py").write_text("raise RuntimeError('this scanner is broken')\n")
    return folder


def _engine_misbehaves(stage: Stage) -> None:
    """Another program stands in the place of pip-audit: whatever it says and however it ends, it is no evidence."""
    home, engines = stage.home(), stage.folder()
    environment = engines / stage.python(home, FOLDER_NAME, "").strip()
    server = stage.serve(home, engines_folder=str(engines), engine_timeout=TIME_LIMIT)
    people = People(server)
    for how, program in MISBEHAVING.items():
        put(environment, program)
        _refused(stage, f"with a pip-audit that {how}, nothing is installed", people)
    server.close()


def _files_that_cannot_be_read(stage: Stage) -> None:
    """A file that the static scan cannot look into might hold anything."""
    server = stage.serve(stage.home())
    people = People(server)
    for how, files in UNREADABLE.items():
        response = people.upload(with_files("odd", files))
        verdict = response.json().get("report", {}).get("verdict")
        name = f"with {how}, nothing is installed"
        stage.check(name, (response.status_code, verdict) == (422, "INDETERMINATE"), said(response))
        _nothing_installed(stage, people)
    server.close()


def _index_away(stage: Stage) -> None:
    """A package that no other story installs: nothing about it is cached."""
    server = stage.serve(stage.home(shared=False), index_url=NOBODY, index_timeout="10")
    people = People(server)
    response = people.upload(made("lonely", "def run():\n    return 1\n", python="iniconfig==2.0.0"))
    stage.check("without a package index, nothing is installed", response.status_code >= 500, said(response))
    _nothing_installed(stage, people)
    server.close()


def _what_was_good_before(stage: Stage) -> None:
    """Installed, approved and called once; then the evidence grows old, and the engine goes away."""
    home = stage.home()
    server = stage.serve(home)
    people = People(server)
    people.install(SKILL)
    rule = {"name": "six", "specifier": PACKAGE.removeprefix("six"), "min_maturity": "INTERN"}
    answered(people.admin.post("/v1/packages/approve", json=rule))
    good = people.agent("robot", "AUTONOMOUS").call("acme/small")
    stage.check("while evidence is there, the skill runs", _state(good) == "succeeded", said(good))
    server.close()

    server = stage.serve(home, advisories_max_age_days=DAYS)
    old = People(server, people.token).agent("robot-2", "AUTONOMOUS").call("acme/small")
    stage.check("when its evidence has grown old, an installed skill does not run", old.status_code == 403, said(old))
    server.close()

    server = stage.serve(home, docker_host="unix:///nowhere/docker.sock")
    later = People(server, people.token)
    away = later.agent("robot-3", "AUTONOMOUS").call("acme/small")
    stage.check("without an engine, a call is an error", away.status_code == 503, said(away))
    newest = answered(later.admin.get("/v1/invocations", params={"limit": 1}))["items"][0]
    stage.check("the record says that it did not run", newest["state"] == "refused", str(newest))
    server.close()


def _refused(stage: Stage, name: str, people: People) -> None:
    response = people.upload(SKILL)
    verdict = response.json().get("report", {}).get("verdict")
    stage.check(name, (response.status_code, verdict) == (422, "INDETERMINATE"), said(response))
    _nothing_installed(stage, people)


def _nothing_installed(stage: Stage, people: People) -> None:
    listed = answered(people.admin.get("/v1/skills"))["items"]
    stage.check("and nothing is half there", listed == [], str(listed))


def _state(response: httpx.Response) -> str | None:
    state: str | None = response.json().get("outcome", {}).get("state")
    return state


STORY = Story(
    name="failclosed",
    tell=tell,
    breaks=Break(
        says="evidence that is missing or old counts as a clean bill",
        edits=(
            Edit(
                "skillyard/governance/report.py",
                "Verdict.PASS if states and all(s is EvidenceState.RAN for s in states) else Verdict.INDETERMINATE",
                "Verdict.PASS",
            ),
        ),
        trips=STALE,
    ),
)
