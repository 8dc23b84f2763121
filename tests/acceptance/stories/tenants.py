"""Tenants of one server share nothing but the machine, and each uses no more of it than it may."""

from __future__ import annotations

import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
from tests.acceptance import engine
from tests.acceptance.people import Agent, Json, People, answered, said
from tests.acceptance.skills import made
from tests.acceptance.stage import Stage
from tests.acceptance.story import Break, Edit, Story

SKILL = "acme/who"
CODE = """
import os, pathlib, time

def run(leave="", seconds=0):
    time.sleep(seconds)
    found = [str(path) for top in ("/tmp", os.getcwd()) for path in pathlib.Path(top).rglob("canary*")]
    if leave:
        pathlib.Path("/tmp/canary").write_text(leave)
    return {"sandbox": os.readlink("/proc/self/ns/pid"), "found": found}
"""
NOT_THERE = "what another tenant has is answered like what does not exist"
CLIENTS, LIMIT = 8, 50


@dataclass
class Tenant:
    id: int
    people: People
    agent: Agent

    @property
    def admin(self) -> httpx.Client:
        return self.people.admin


def tell(stage: Stage) -> None:
    home = stage.home()
    operator = People(stage.serve(home))
    first, second = (_founded(operator, name) for name in ("first", "second"))
    _share_no_sandbox(stage, first, second)
    _do_not_see_each_other(stage, operator, first, second)
    _use_what_they_may(stage, operator, first, second)
    _suspended(stage, operator, first, second)
    for tenant in (first, second):
        audit = answered(tenant.admin.get("/v1/audit/verify"))
        stage.check("each has an audit chain of its own that holds", audit["broken"] is None, str(audit))


def _founded(operator: People, name: str) -> Tenant:
    founded = answered(operator.admin.post("/v1/workspaces", json={"name": name}))
    people = People(operator.server, founded["token"])
    people.install(made("who", CODE))
    return Tenant(founded["workspace"]["id"], people, people.agent(f"{name}-agent", "AUTONOMOUS"))


def _share_no_sandbox(stage: Stage, first: Tenant, second: Tenant) -> None:
    left = _result(first, leave="secret")
    stage.check("a tenant's sandbox stays warm for it", _result(first)["sandbox"] == left["sandbox"])
    others = [_result(second) for _ in range(3)]
    shared = any(other["sandbox"] == left["sandbox"] or other["found"] for other in others)
    stage.check("and serves no other, though the skill is the same to the byte", not shared, str(others))
    labels = Counter(engine.labels(first.people.server.home, "skillyard.workspace"))
    stage.check("its container says whose it is", labels == {str(first.id): 1, str(second.id): 1}, str(labels))


def _do_not_see_each_other(stage: Stage, operator: People, first: Tenant, second: Tenant) -> None:
    invocation = answered(first.admin.get("/v1/invocations"))["items"][0]["id"]
    before = answered(first.admin.get("/v1/audit/verify"))["head"]
    asked = 0
    for method, path, real, absent in (
        ("GET", "/v1/agents/{}", first.agent.id, 987654321),
        ("POST", "/v1/agents/{}/suspend", first.agent.id, 987654321),
        ("GET", "/v1/invocations/{}", invocation, str(uuid.uuid4())),
        ("GET", "/v1/invocations/{}/files", invocation, str(uuid.uuid4())),
        ("POST", "/v1/invocations/{}/cancel", invocation, str(uuid.uuid4())),
        ("GET", "/v1/workspaces/{}/usage", first.id, 987654321),
    ):
        body = {"reason": "theft"} if path.endswith("/suspend") else None
        for client in (second.admin, *(() if "workspaces" in path else (operator.admin,))):
            there = client.request(method, path.format(real), json=body)
            nowhere = client.request(method, path.format(absent), json=body)
            same = there.text.replace(str(real), "#") == nowhere.text.replace(str(absent), "#")
            stage.check(NOT_THERE, there.status_code == nowhere.status_code == 404 and same, said(there))
            asked += 1
    stage.figures["ids_tried"] = asked
    names = [item["name"] for item in answered(second.admin.get("/v1/agents"))["items"]]
    stage.check("no list shows what another has", names == ["second-agent"], str(names))
    now = answered(first.admin.get("/v1/audit/verify"))["head"]
    stage.check("none of that left a trace at the other", now == before, f"{before} and {now}")


def _use_what_they_may(stage: Stage, operator: People, first: Tenant, second: Tenant) -> None:
    used = answered(first.admin.get(f"/v1/workspaces/{first.id}/usage"))["quotas"]
    made_before = next(one["used"] for one in used if one["quota"] == "calls_per_day")
    limits = {"calls_per_day": made_before + LIMIT}
    answered(operator.admin.post(f"/v1/workspaces/{first.id}/quotas", json=limits))
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(lambda _: first.agent.call(SKILL), range(LIMIT + 20)))
    codes = Counter(answer.status_code for answer in answers)
    stage.figures["calls_admitted_of_quota"] = f"{codes[200]} of {LIMIT}"
    exact = codes == {200: LIMIT, 429: 20}
    stage.check(f"{CLIENTS} clients at once get exactly the quota of calls", exact, str(codes))
    refused = next(answer for answer in answers if answer.status_code == 429)
    problem: Json = refused.json()
    told = (
        problem["code"] == "quota_exceeded" and problem["quota"] == "calls_per_day" and "retry-after" in refused.headers
    )
    stage.check("a refusal names the quota, and when to try again", told, said(refused))
    stage.check("the other tenant does not notice", second.agent.call(SKILL).status_code == 200)


def _suspended(stage: Stage, operator: People, first: Tenant, second: Tenant) -> None:
    answered(operator.admin.post(f"/v1/workspaces/{first.id}/quotas", json={"calls_per_day": None}))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(lambda: first.agent.call(SKILL, {"seconds": 50}))
        stage.until("a call runs", lambda: answered(first.admin.get("/v1/status"))["workspace"]["now"]["busy"] == 1)
        with stage.timed("suspension_seconds"):
            answered(operator.admin.post(f"/v1/workspaces/{first.id}/suspend", json={"reason": "unpaid"}))
            ended = running.result()
    stage.check("a suspension ends what runs", ended.json()["outcome"]["state"] == "killed", said(ended))
    denied = first.agent.call(SKILL)
    stage.check("and lets nothing more run", denied.json().get("code") == "workspace_suspended", said(denied))
    changed = first.admin.post("/v1/packages/ban", json={"name": "six", "reason": "x"})
    stage.check("nothing is changed in it", changed.status_code == 403, said(changed))
    stage.check("what is there can be read", first.admin.get("/v1/skills").status_code == 200)
    stage.check("the other tenant goes on", second.agent.call(SKILL).status_code == 200)
    answered(operator.admin.post(f"/v1/workspaces/{first.id}/resume", json={"reason": "paid"}))
    stage.check("resumed, it goes on too", first.agent.call(SKILL).status_code == 200)


def _result(tenant: Tenant, **given: str) -> Json:
    result: Json = answered(tenant.agent.call(SKILL, given))["outcome"]["result"]
    return result


STORY = Story(
    name="tenants",
    tell=tell,
    breaks=Break(
        says="a query forgets whose agent it is",
        edits=(
            Edit(
                "skillyard/governance/people.py",
                "select(AgentRow).where(AgentRow.workspace_id == workspace, which)",
                "select(AgentRow).where(which)",
            ),
        ),
        trips=NOT_THERE,
    ),
)
