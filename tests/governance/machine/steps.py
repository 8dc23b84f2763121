"""What is done at random, to the product and to the model, and what is compared."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from skillyard.errors import ConflictError, NotFoundError
from skillyard.governance import decision
from skillyard.governance.decision import Allow, Decision, Hold, Maturity, RuleScope
from skillyard.governance.errors import AlreadyDecidedError, BannedPackageError, LockChangedError, SecondPersonError
from skillyard.governance.maturity import LevelSkippedError
from skillyard.governance.rules import draft_approval, draft_ban
from skillyard.ids import RuleId, SkillVersionId
from skillyard.runtime.journal import Admission, Admitted
from skillyard.runtime.views import View
from tests.governance.machine.model import (
    AUTONOMOUS,
    INTERN,
    MEANS,
    STUDENT,
    SUPERVISED,
    Agent,
    Model,
    Package,
    Request,
    Rule,
    Verdict,
    Version,
    Wanted,
)
from tests.governance.machine.realm import House, Realm, sha

T = TypeVar("T")

ALPHA, ALPHA_2 = Package("alpha", "1.0", "alpha-1"), Package("alpha", "2.0", "alpha-2")
BETA, BETA_AGAIN = Package("beta", "1.0", "beta-1"), Package("beta", "1.0", "beta-1-again")
LOCKS = st.sampled_from([frozenset(found) for found in ((BETA_AGAIN,), (ALPHA, BETA), (ALPHA_2, BETA_AGAIN))])
SKILLS = {"tool": True, "helper": True, "guide": False}
"""Skills by name, and whether they execute. ``helper`` has code and no packages, ``guide`` neither."""

NAMES = st.sampled_from(["alpha", "beta"])
SPECIFIERS = st.sampled_from(sorted(MEANS))
HOURS = st.none() | st.sampled_from([1, 30])
SCOPES = st.sampled_from([RuleScope.WORKSPACE, RuleScope.WORKSPACE, RuleScope.GLOBAL])
MATURITIES = st.sampled_from([STUDENT, INTERN, SUPERVISED, AUTONOMOUS])


@dataclass
class Late:
    """A call that was decided on, and is to be admitted when something may have changed."""

    admission: Admission
    changes: int
    """How many changes the view knew of by which it was decided."""


class Governing(RuleBasedStateMachine):
    """A class for each test, so that each has its own house."""

    house: ClassVar[House]
    runner: ClassVar[asyncio.Runner]

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize()
    def begin(self) -> None:
        self.house.clock.hours = 0
        self.realm = self.do(Realm.found(self.house))
        self.model = Model()
        self.seen: dict[int, int] = {}
        self.late: list[Late] = []
        self.agents = {}
        for name, maturity in (("student", STUDENT), ("intern", INTERN), ("senior", SUPERVISED), ("free", AUTONOMOUS)):
            agent = self.do(self.realm.add_agent(name, Maturity(maturity)))
            self.agents[int(agent.id)] = agent
            self.model.agents[int(agent.id)] = Agent(maturity)
        self.look()
        for name in SKILLS:
            self._install(name, "1.0.0", frozenset({BETA}) if name == "tool" else frozenset())

    def teardown(self) -> None:
        if not hasattr(self, "realm"):
            return
        self.do(self.realm.check_books())
        for id_, one in self.model.rules.items():
            if one.everywhere and not one.revoked:
                self.do(self.realm.revoke_rule(RuleId(id_)))  # the next workspace begins without it

    def changed(self) -> None:
        self.model.changes += 1

    def until(self, hours: int | None) -> int | None:
        return None if hours is None else self.model.now + hours

    def moment(self, hours: int | None) -> Any:
        return None if hours is None else self.house.clock.at(self.model.now + hours)

    # Time.

    @rule(hours=st.sampled_from([1, 1, 2, 25, 31 * 24]))
    def time_passes(self, hours: int) -> None:
        self.model.now += hours
        self.house.clock.hours += hours

    # Agents.

    @rule(data=st.data(), maturity=MATURITIES, force=st.booleans())
    def promote_or_demote(self, data: st.DataObject, maturity: int, force: bool) -> None:
        agent = data.draw(st.sampled_from(sorted(self.agents)))
        skips = maturity > self.model.agents[agent].maturity + 1 and not force
        try:
            self.do(self.realm.trust(self.agents[agent], Maturity(maturity), force=force))
        except LevelSkippedError:
            assert skips
            return
        assert not skips
        if self.model.agents[agent].maturity != maturity:
            self.model.agents[agent].maturity = maturity
            self.changed()

    @rule(data=st.data(), suspended=st.booleans())
    def suspend_or_resume(self, data: st.DataObject, suspended: bool) -> None:
        agent = data.draw(st.sampled_from(sorted(self.agents)))
        self.do(self.realm.suspend(self.agents[agent], suspended=suspended))
        if self.model.agents[agent].suspended is not suspended:
            self.model.agents[agent].suspended = suspended
            self.changed()

    # Rules.

    @rule(name=NAMES, specifier=SPECIFIERS, hours=HOURS, scope=SCOPES)
    def ban(self, name: str, specifier: str, hours: int | None, scope: RuleScope) -> None:
        draft = draft_ban(
            ecosystem="pypi",
            name=name,
            specifier=specifier,
            reason="Chance.",
            now=self.realm.now,
            expires_at=self.moment(hours),
        )
        made = self.do(self.realm.add_rule(draft, scope))
        self._keep(int(made.id), Rule(name, specifier, None, self.until(hours), scope is RuleScope.GLOBAL))

    @rule(name=NAMES, specifier=SPECIFIERS, minimum=MATURITIES, hours=HOURS, scope=SCOPES)
    def allow(self, name: str, specifier: str, minimum: int, hours: int | None, scope: RuleScope) -> None:
        draft = draft_approval(
            ecosystem="pypi",
            name=name,
            specifier=specifier,
            min_maturity=Maturity(minimum),
            now=self.realm.now,
            expires_at=self.moment(hours),
        )
        made = self.do(self.realm.add_rule(draft, scope))
        self._keep(int(made.id), Rule(name, specifier, minimum, self.until(hours), scope is RuleScope.GLOBAL))

    def _keep(self, id_: int, made: Rule) -> None:
        """A rule that says the same as one in force is that one."""
        if id_ in self.model.rules:
            assert self.model.rules[id_] == made
        else:
            self.model.rules[id_] = made
            self.changed()

    @rule(name=NAMES, scope=SCOPES)
    def unban(self, name: str, scope: RuleScope) -> None:
        everywhere = scope is RuleScope.GLOBAL
        expected = {
            id_
            for id_, one in self.model.rules.items()
            if one.minimum is None and one.name == name and one.everywhere is everywhere and not one.revoked
        }
        try:
            lifted = {int(one.id) for one in self.do(self.realm.unban(name, scope))}
        except NotFoundError:
            lifted = set()
        assert lifted == expected
        for id_ in lifted:
            self.model.rules[id_].revoked = True
        if lifted:
            self.changed()

    @precondition(lambda self: any(not one.revoked for one in self.model.rules.values()))
    @rule(data=st.data())
    def revoke_rule(self, data: st.DataObject) -> None:
        id_ = data.draw(st.sampled_from([id_ for id_, one in self.model.rules.items() if not one.revoked]))
        self.do(self.realm.revoke_rule(RuleId(id_)))
        self.model.rules[id_].revoked = True
        self.changed()

    # Versions.

    @rule(version=st.sampled_from(["1.0.0", "2.0.0"]), packages=LOCKS)
    def install_or_upgrade(self, version: str, packages: frozenset[Package]) -> None:
        known = self.realm.versions.get(("tool", version))
        if known is None or not self.model.versions[int(known)].installed:
            self._install("tool", version, packages)

    @precondition(lambda self: any(one.installed for one in self.model.versions.values() if one.skill == "tool"))
    @rule()
    def uninstall(self) -> None:
        self.do(self.realm.uninstall("tool"))
        for id_, one in self.model.versions.items():
            if one.skill == "tool":
                one.installed = False
                for asked in self.model.requests.values():
                    if asked.version == id_ and asked.state == "pending":
                        asked.state = "gone"
        self.changed()

    def _install(self, name: str, version: str, packages: frozenset[Package]) -> None:
        made = self.do(self.realm.install(name, version, packages, code=SKILLS[name]))
        self.model.versions[int(made)] = Version(name, packages, SKILLS[name])
        self.changed()

    # Calls.

    @rule(data=st.data())
    def call(self, data: st.DataObject) -> None:
        """As a server does it: decided by what was seen last, and again by what holds, until one of them counts."""
        self._call(*self._whom(data))

    def _call(self, agent: int, version: int) -> None:
        wanted = self.model.call(agent, version)
        view = self.do(self.realm.latest())
        for _ in range(2):
            installed = view.versions.get(SkillVersionId(version))
            if installed is None:
                view = self.look()
                continue
            decided = self.realm.decide(view, self.agents[agent], installed)
            if isinstance(decided, Allow):
                admission = self.realm.admission(view, self.agents[agent], installed, decided)
                if isinstance(self.do(self.realm.admit(admission)), Admitted):
                    assert wanted.verdict is Verdict.ALLOW, f"admitted, though it is {wanted}"
                    return
            elif self.seen[view.epoch] == self.model.changes:
                self._refused(agent, version, decided, wanted)
                return
            view = self.look()
        raise AssertionError("neither admitted nor refused by what holds")

    @rule(data=st.data())
    def decide_and_wait(self, data: st.DataObject) -> None:
        agent, version = self._whom(data)
        view = self.do(self.realm.latest())
        installed = view.versions.get(SkillVersionId(version))
        if installed is None:
            return
        decided = self.realm.decide(view, self.agents[agent], installed)
        if isinstance(decided, Allow):
            admission = self.realm.admission(view, self.agents[agent], installed, decided)
            self.late.append(Late(admission, self.seen[view.epoch]))

    @precondition(lambda self: self.late)
    @rule()
    def admit_late(self) -> None:
        """A decision that waited: nothing that changed meanwhile may be behind its admission."""
        late = self.late.pop()
        admitted = isinstance(self.do(self.realm.admit(late.admission)), Admitted)
        assert admitted is (self.do(self.realm.epoch()) == late.admission.epoch)
        assert not admitted or late.changes == self.model.changes, "admitted after a change that was committed"

    def _whom(self, data: st.DataObject) -> tuple[int, int]:
        there = sorted(id_ for id_, one in self.model.versions.items() if one.installed)
        return data.draw(st.sampled_from(sorted(self.agents))), data.draw(st.sampled_from(there))

    def _refused(self, agent: int, version: int, decided: Decision, wanted: Wanted) -> None:
        compare(decided, wanted)
        if not isinstance(decided, Hold):
            return
        installed = self.do(self.realm.current()).versions[SkillVersionId(version)]
        expected = self.model.answer_to(agent, version, wanted)
        asked = self.do(self.realm.request(self.agents[agent], installed, decided))
        if expected is not None:
            assert int(asked.id) == expected
            return
        assert int(asked.id) not in self.model.requests
        for one in self.model.requests.values():
            if (one.agent, one.version, one.state) == (agent, version, "pending"):
                one.state = "gone"
        self.model.requests[int(asked.id)] = Request(
            agent,
            version,
            wanted.packages,
            wanted.first_use,
            self.model.now,
            self.model.versions[version].packages,
        )

    # What people answer.

    @precondition(lambda self: self.held())
    @rule(data=st.data(), hours=HOURS, minimum=st.none() | MATURITIES)
    def call_and_be_approved(self, data: st.DataObject, hours: int | None, minimum: int | None) -> None:
        """What chance alone would seldom do: a call is held, and somebody looks at what it asked for."""
        agent, version = data.draw(st.sampled_from(self.held()))
        self._call(agent, version)
        asked = max(id_ for id_, one in self.model.requests.items() if (one.agent, one.version) == (agent, version))
        self._approve(asked, hours, minimum, alone=False)

    @precondition(lambda self: self.model.requests)
    @rule(data=st.data(), alone=st.booleans(), hours=HOURS, minimum=st.none() | MATURITIES)
    def approve(self, data: st.DataObject, alone: bool, hours: int | None, minimum: int | None) -> None:
        waiting = [id_ for id_ in self.model.requests if self.model.waits(id_)]
        id_ = data.draw(st.sampled_from(waiting) if waiting else st.sampled_from(sorted(self.model.requests)))
        self._approve(id_, hours, minimum, alone=alone)

    def held(self) -> list[tuple[int, int]]:
        """Agents and versions whose calls would be held now."""
        return [
            (agent, version)
            for agent in self.agents
            for version, one in self.model.versions.items()
            if one.installed and self.model.call(agent, version).verdict is Verdict.HOLD
        ]

    def _approve(self, id_: int, hours: int | None, minimum: int | None, *, alone: bool) -> None:
        asked = self.model.requests[id_]
        until = hours if asked.packages else None
        expected = self._refusal_of(id_, alone=alone)
        by = self.realm.owner if alone else self.realm.second
        given = None if minimum is None else Maturity(minimum)
        approving = self.realm.approve(id_, by, given, self.moment(until))
        if expected is not None:
            with pytest.raises(expected):
                self.do(approving)
            return
        _, rules = self.do(approving)
        asked.state = "approved"
        least = max(self.model.agents[asked.agent].maturity, INTERN) if minimum is None else minimum
        made = {(one.name, one.specifier): one for one in rules}
        assert set(made) == {(one.name, f"=={one.version}") for one in asked.packages}
        for package in asked.packages:
            rule_ = made[package.name, f"=={package.version}"]
            assert rule_.hashes == {sha(package.file)}, "an approval is of the files that were shown"
            self.model.rules[int(rule_.id)] = Rule(
                package.name,
                rule_.specifier,
                least,
                self.until(until),
                files=frozenset({package.file}),
                approval=id_,
            )
        if asked.first_use:
            self.model.first_uses.setdefault((asked.agent, self.model.versions[asked.version].skill), id_)
        self.changed()

    def _refusal_of(self, id_: int, *, alone: bool) -> type[Exception] | None:
        asked, version = self.model.requests[id_], self.model.versions[self.model.requests[id_].version]
        if not self.model.waits(id_):
            return AlreadyDecidedError
        if alone:
            return SecondPersonError
        if asked.locked != version.packages:
            return LockChangedError
        if any(self.model.banned(package) for package in version.packages):
            return BannedPackageError
        return None

    @precondition(lambda self: self.model.requests)
    @rule(data=st.data(), alone=st.booleans())
    def deny(self, data: st.DataObject, alone: bool) -> None:
        id_ = data.draw(st.sampled_from(sorted(self.model.requests)))
        try:
            self.do(self.realm.deny(id_, self.realm.owner if alone else self.realm.second))
        except AlreadyDecidedError:
            assert not self.model.waits(id_)
        else:
            assert self.model.waits(id_)
            self.model.requests[id_].state = "denied"
            self.model.requests[id_].decided_at = self.model.now

    @precondition(lambda self: self.model.requests)
    @rule(data=st.data())
    def revoke_approval(self, data: st.DataObject) -> None:
        approved = [id_ for id_, one in self.model.requests.items() if one.state == "approved"]
        id_ = data.draw(st.sampled_from(approved) if approved else st.sampled_from(sorted(self.model.requests)))
        asked = self.model.requests[id_]
        try:
            self.do(self.realm.revoke(id_))
        except ConflictError:
            assert asked.state != "approved"
            return
        assert asked.state == "approved"
        asked.state = "revoked"
        for one in self.model.rules.values():
            one.revoked = one.revoked or one.approval == id_
        self.model.first_uses = {key: by for key, by in self.model.first_uses.items() if by != id_}
        self.changed()

    # What is compared.

    def look(self) -> View:
        """A view of what holds; which changes it knows of is noted."""
        view = self.do(self.realm.current())
        assert self.seen.setdefault(view.epoch, self.model.changes) == self.model.changes, "a change raised no epoch"
        return view

    @invariant()
    def every_decision_is_as_the_model_has_it(self) -> None:
        if not hasattr(self, "realm"):
            return
        view = self.do(self.realm.observed())
        for agent in self.agents:
            for version, one in self.model.versions.items():
                assert (SkillVersionId(version) in view.versions) is one.installed
                if one.installed:
                    decided = self.realm.decide(view, self.agents[agent], view.versions[SkillVersionId(version)])
                    compare(decided, self.model.call(agent, version))
        read_at_once = self.do(self.realm.rules_at_once())
        assert {key: group.rules for key, group in view.rules.by_name.items()} == read_at_once


def compare(decided: Decision, wanted: Wanted) -> None:
    kind = {decision.Allow: Verdict.ALLOW, decision.Hold: Verdict.HOLD, decision.Deny: Verdict.DENY}[type(decided)]
    assert kind is wanted.verdict, f"{decided}, and not {wanted}"
    assert decided.reasons
    if isinstance(decided, Hold):
        lacking = {(one.name, one.version) for one in wanted.packages}
        assert {(one.name, one.version) for one in decided.packages} == lacking
        assert decided.first_use is wanted.first_use
