"""Packages that nobody approved do not run, and nobody approves what they asked for themselves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx
from tests.acceptance import engine
from tests.acceptance.people import Agent, Json, People, answered, said
from tests.acceptance.skills import made
from tests.acceptance.stage import Stage
from tests.acceptance.story import Break, Edit, Story

SKILL = "acme/tidy"
CODE = "import idna\nimport six\n\n\ndef run():\n    return [idna.__version__, six.__version__]\n"
FIRST, SECOND = "idna==3.10 six==1.17.0", "idna==3.10 six==1.17.0 iniconfig==2.0.0"
BRIEF = "pluggy==1.6.0"
PASSES_SECONDS = 30
"""How long an approval holds that runs out: enough to fetch a package and call it once."""
OWN = "nobody approves what their own agent asked for"


def tell(stage: Stage) -> None:
    home = stage.home()
    people = People(stage.serve(home))
    second, member = people.person("second"), people.person("member", "member")
    intern, supervised = people.agent("intern", "INTERN"), people.agent("supervised", "SUPERVISED")
    people.install(made("tidy", CODE, python=FIRST))

    asked = _held(stage, "a call that lacks an approval is held", intern)
    again = _held(stage, "asking again changes nothing", intern)
    stage.check("one question is one request", asked == again, f"{asked} and {again}")
    _who_may_not(stage, asked, owner=people.admin, member=member, agent=intern)
    _held(stage, "and the call is still held", intern)
    decided = answered(_approve(second, asked))
    stage.check("a second person approves", decided["state"] == "approved", str(decided))
    twice = _approve(second, asked)
    stage.check("a decision is made once", twice.status_code == 409, said(twice))
    _check_rules(stage, people, asked)
    _runs(stage, "the whole lock was approved at once", intern)
    _runs(stage, "also for whoever is more mature", supervised)
    refused = people.agent("student", "STUDENT").call(SKILL)
    stage.check("a STUDENT is refused all the same", refused.status_code == 403, said(refused))

    _bound_and_passing(stage, people, second)
    _only_what_is_new(stage, people, second, intern, supervised)
    _taken_back(stage, people, second, intern, asked)
    _banned(stage, people, second, intern)
    stage.until("sandboxes that hold a banned package are stopped", lambda: engine.containers(home) == ())
    audit = answered(people.admin.get("/v1/audit/verify"))
    stage.check("all of it is in the audit chain", audit["broken"] is None, str(audit))


def _who_may_not(stage: Stage, asked: int, *, owner: httpx.Client, member: httpx.Client, agent: Agent) -> None:
    own = _approve(owner, asked)
    code = own.json().get("code")
    stage.check(OWN, (own.status_code, code) == (403, "second_person_required"), said(own))
    for who, client in (("somebody who is no admin", member), ("an agent", agent.client)):
        refused = _approve(client, asked)
        stage.check(f"{who} approves nothing", refused.status_code == 403, said(refused))


def _check_rules(stage: Stage, people: People, asked: int) -> None:
    rules = answered(people.admin.get("/v1/packages/rules"))["items"]
    exact = {(rule["name"], rule["specifier"]) for rule in rules}
    stage.check("a rule for each package", exact == {("idna", "==3.10"), ("six", "==1.17.0")}, str(exact))
    bound = all(rule["hashes"] and rule["approval"] == asked for rule in rules)
    stage.check("bound to its artefacts and to the approval", bound, str(rules))


def _bound_and_passing(stage: Stage, people: People, second: httpx.Client) -> None:
    """An approval of other files is none of these, and one that has an end ends by itself."""
    people.install(made("brief", "import pluggy\n\n\ndef run():\n    return pluggy.__version__\n", python=BRIEF))
    free = people.agent("free", "AUTONOMOUS")
    rule = {"name": "pluggy", "min_maturity": "STUDENT", "hashes": ["a" * 64]}
    answered(people.admin.post("/v1/packages/approve", json=rule))
    asked = _held(stage, "a package approved for other files is held", free, "acme/brief")
    until = datetime.now(UTC) + timedelta(seconds=PASSES_SECONDS)
    answered(_approve(second, asked, expires_at=until.isoformat()))
    runs = free.call("acme/brief")
    stage.check("approved for a while, it runs", runs.status_code == 200, said(runs))
    stage.until("until that is over", lambda: datetime.now(UTC) > until, seconds=2 * PASSES_SECONDS)
    late = _held(stage, "then it is held again", free, "acme/brief")
    stage.check("by a request of its own", late != asked, f"{late} and {asked}")
    state = answered(second.get(f"/v1/approvals/{asked}"))["state"]
    stage.check("and the approval says that it ran out", state == "expired", state)


def _only_what_is_new(stage: Stage, people: People, second: httpx.Client, intern: Agent, supervised: Agent) -> None:
    archive = made("tidy", CODE, version="2.0.0", python=SECOND)
    swap = answered(people.upload(archive, route="/v1/skills/upgrade"))
    stage.check("an upgrade that lacks an approval does not take the pointer", not swap["moved"], str(swap))
    _runs(stage, "and the old version goes on", intern)
    asked = _held(stage, "the new version is held", intern, f"{SKILL}@2.0.0")
    packages = answered(second.get(f"/v1/approvals/{asked}"))["packages"]
    new = [package["name"] for package in packages]
    stage.check("its request shows only what is new", new == ["iniconfig"], str(new))
    answered(_approve(second, asked, min_maturity="SUPERVISED"))
    low = intern.call(f"{SKILL}@2.0.0")
    stage.check("approved for the more mature only, it is refused to others", low.status_code == 403, said(low))
    _runs(stage, "and runs for them", supervised, f"{SKILL}@2.0.0")


def _taken_back(stage: Stage, people: People, second: httpx.Client, intern: Agent, asked: int) -> None:
    answered(people.admin.post(f"/v1/approvals/{asked}/revoke", json={"reason": "A second thought."}))
    home = people.server.home
    stage.until("an approval taken back stops what ran by it", lambda: engine.containers(home) == ())
    anew = _held(stage, "and its skill is held again", intern)
    third = people.person("third")
    with ThreadPoolExecutor(2) as pool:
        codes = sorted(answer.status_code for answer in pool.map(lambda who: _approve(who, anew), (second, third)))
    stage.check("of two who decide at once, one does", codes == [200, 409], str(codes))
    _runs(stage, "approved again, it runs again", intern)


def _banned(stage: Stage, people: People, second: httpx.Client, intern: Agent) -> None:
    denied = people.agent("another", "INTERN")
    asked = _held(stage, "another INTERN's first use is held", denied)
    answered(second.post(f"/v1/approvals/{asked}/deny", json={"comment": "Not for interns."}))
    told = denied.call(SKILL)
    because = said(told)
    answer = told.status_code == 403 and "approval_denied" in because and "Not for interns." in because
    stage.check("a no is an answer, with its reason", answer, because)

    waiting = _held(stage, "a third INTERN waits", people.agent("waiting", "INTERN"))
    answered(people.admin.post("/v1/packages/ban", json={"name": "six", "reason": "A known bad one."}))
    for agent in (intern, people.agent("autonomous", "AUTONOMOUS")):
        refused = agent.call(SKILL)
        codes = [reason["code"] for reason in refused.json()["decision"]["reasons"]]
        stage.check(
            "a ban beats every approval", refused.status_code == 403 and "banned_package" in codes, said(refused)
        )
    late = _approve(second, waiting)
    stage.check("what is banned cannot be approved", late.status_code == 409, said(late))


def _held(stage: Stage, name: str, agent: Agent, skill: str = SKILL) -> int:
    held = agent.call(skill)
    stage.check(name, held.status_code == 202, said(held))
    return int(held.json()["approval"])


def _runs(stage: Stage, name: str, agent: Agent, skill: str = SKILL) -> None:
    response = agent.call(skill)
    outcome: Json = response.json().get("outcome", {})
    stage.check(name, response.status_code == 200 and outcome.get("result") == ["3.10", "1.17.0"], said(response))


def _approve(client: httpx.Client, approval: int, **fields: str) -> httpx.Response:
    return client.post(f"/v1/approvals/{approval}/approve", json=fields)


STORY = Story(
    name="approval",
    tell=tell,
    breaks=Break(
        says="nobody looks who asked",
        edits=(Edit("skillyard/governance/approvals.py", "if alone and terms.second_person:", "if False:"),),
        trips=OWN,
    ),
)
