"""From a SKILL.md folder to a governed, sandboxed call: an agent gets a chart, and nobody had to trust the skill."""

from __future__ import annotations

import csv
import io
import struct
import zlib
from typing import Any

from tests.acceptance.people import Agent, Json, People, answered, said
from tests.acceptance.skills import BUNDLED, folder_zip
from tests.acceptance.stage import Stage
from tests.acceptance.story import Break, Edit, Story

SKILL = "acme/csv-report"
SUMMARY = "the summary is what the CSV says"
SAMPLE = BUNDLED / "csv-report" / "assets" / "sample.csv"


def tell(stage: Stage) -> None:
    with stage.timed("server_start_seconds"):
        people = People(stage.serve(stage.home()))
    second = people.person("second")
    intern, student = people.agent("intern", "INTERN"), people.agent("student", "STUDENT")

    with stage.timed("install_seconds"):
        installed = people.install(folder_zip(BUNDLED / "csv-report"))
    unapproved = {package["name"] for package in installed["unapproved"]}
    stage.figures["packages"] = len(unapproved)
    stage.check("the lock holds the whole closure", {"pandas", "matplotlib", "numpy"} <= unapproved, str(unapproved))

    held = intern.call(SKILL, files={"data.csv": SAMPLE.read_bytes()})
    stage.check("an INTERN's first call is held", held.status_code == 202, said(held))
    approval = held.json()["approval"]
    answered(second.post(f"/v1/approvals/{approval}/approve"))

    with stage.timed("first_call_seconds"):
        first = _report(stage, intern)
    with stage.timed("warm_call_seconds"):
        _report(stage, intern)
    _check_chart(stage, intern, first)

    refused = student.call(SKILL)
    stage.check("a STUDENT is refused", refused.status_code == 403, said(refused))
    vulnerable = people.upload(folder_zip(BUNDLED / "legacy-fetch"))
    stage.check("a vulnerable skill is not installed", vulnerable.status_code == 422, said(vulnerable))
    guide = answered(people.upload(folder_zip(BUNDLED / "writing-guide")))
    advice = student.call("acme/writing-guide")
    stage.check("a STUDENT reads instructions", advice.status_code == 200 and guide["active"], said(advice))
    audit = answered(people.admin.get("/v1/audit/verify"))
    stage.check("the audit chain holds", audit["broken"] is None, str(audit))
    stage.figures["audit_records"] = audit["records"]


def _report(stage: Stage, agent: Agent) -> Json:
    answer = answered(agent.call(SKILL, files={"data.csv": SAMPLE.read_bytes()}))
    outcome = answer["outcome"]
    stage.check("an approved call succeeds", outcome["state"] == "succeeded", str(outcome)[:800])
    wanted, got = _expected(SAMPLE.read_text()), _comparable(outcome["result"])
    stage.check(SUMMARY, got == wanted, f"{got}, not {wanted}")
    return answer


def _expected(text: str) -> Json:
    """What any reader of the CSV can say about it, worked out without the skill."""
    rows = list(csv.DictReader(io.StringIO(text), skipinitialspace=True))
    cups = [float(row["cups"]) for row in rows if row["cups"]]
    means = {"cups": round(sum(cups) / len(cups), 6)}
    return {"rows": len(rows), "columns": list(rows[0]), "means": means}


def _comparable(result: Any) -> Json:
    if not isinstance(result, dict) or "columns" not in result:
        return {"answer": result}
    columns = {column["name"]: column for column in result["columns"]}
    means = {"cups": columns.get("cups", {}).get("mean")}
    return {"rows": result["rows"], "columns": list(columns), "means": means}


def _check_chart(stage: Stage, agent: Agent, answer: Json) -> None:
    files = {file["path"]: file for file in answer["outcome"]["files"]}
    stage.check("the call leaves a chart", list(files) == ["chart.png"], str(files))
    chart = agent.client.get(files["chart.png"]["url"])
    stage.check("the chart can be fetched", chart.status_code == 200, said(chart))
    width, height, shades = _read_png(chart.content)
    stage.check("the chart is a picture", (width, height) == (960, 540) and shades > 20, f"{width}x{height}, {shades}")


def _read_png(data: bytes) -> tuple[int, int, int]:
    """Width, height and number of different bytes of a PNG's pixels (RFC 2083); raises ``ValueError`` for no PNG."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ValueError("no PNG")
    place, width, height, pixels = 8, 0, 0, b""
    while place < len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        body = data[place + 8 : place + 8 + size]
        if kind == b"IHDR":
            width, height = struct.unpack_from(">II", body)
        elif kind == b"IDAT":
            pixels += body
        place += 12 + size
    return width, height, len(set(zlib.decompress(pixels)))


STORY = Story(
    name="main-job",
    tell=tell,
    breaks=Break(
        says="every call is answered with one canned result",
        edits=(
            Edit(
                "skillyard/runtime/invoke.py",
                "return await sandbox.call(call, on_output)",
                "return replace(await sandbox.call(call, on_output), result_json=b'{\"rows\": 1}')",
            ),
        ),
        trips=SUMMARY,
    ),
)
