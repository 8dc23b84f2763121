"""One call, from request to answer: decide, admit, lease, run, record, answer.

The order matters. The decision may use what this process last saw; the admission, one durable transaction, checks the
rules epoch, and a changed epoch means deciding again. Nothing runs before its admission is durable, and nobody is
answered before the outcome is.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from skillyard.database import utcnow
from skillyard.errors import InputError, NotFoundError, SkillyardError
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.decision import Allow, Deny, Hold
from skillyard.governance.identity import Actor, ActorKind
from skillyard.ids import InvocationId
from skillyard.runtime.admission import Admission, AdmissionWriter, Admitted, StaleEpoch
from skillyard.runtime.approve import Approver
from skillyard.runtime.decide import Decider
from skillyard.runtime.endings import Ending, Endings
from skillyard.runtime.pool import Pool
from skillyard.runtime.slots import Claim
from skillyard.runtime.start import Starter
from skillyard.runtime.values import InstalledVersion, Invocation, InvokeRequest
from skillyard.runtime.views import View, Views
from skillyard.sandbox.outcome import Call, Outcome, OutcomeState
from skillyard.sandbox.sandbox import OutputSink, RunningSandbox, discard
from skillyard.skills.bundle_store import BundleStore
from skillyard.skills.skill import Entry

_ATTEMPTS = 20
"""Rules may change between decision and admission; that often in a row means that something is wrong."""

_INSTRUCTIONS = "SKILL.md"


@dataclass(frozen=True, slots=True)
class _Case:
    """A request with what one view makes of it. ``entry`` is ``None`` for a skill of instructions only."""

    id: InvocationId
    request: InvokeRequest
    view: View
    version: InstalledVersion
    entry: Entry | None
    decision: Allow | Hold | Deny


class Invoker:
    """Serves calls. Holds no state of its own: views, pool and writer do."""

    def __init__(
        self,
        *,
        views: Views,
        decider: Decider,
        approver: Approver,
        writer: AdmissionWriter,
        pool: Pool,
        starter: Starter,
        bundles: BundleStore,
        artefacts: Path,
        endings: Endings,
    ) -> None:
        self._views = views
        self._decider = decider
        self._approver = approver
        self._writer = writer
        self._pool = pool
        self._starter = starter
        self._bundles = bundles
        self._artefacts = artefacts
        self._endings = endings

    async def invoke(self, request: InvokeRequest, on_output: OutputSink = discard) -> Invocation:
        """Run one call to its end. A refusal is an ``Invocation`` too, with state ``refused`` and the decision.

        Raises ``NotFoundError`` for a skill or entry that is not there, ``QueueFullError``, and machine errors; every
        admitted call has been recorded as ended by then.
        """
        invocation = InvocationId(str(uuid.uuid4()))
        view = await self._views.latest(request.workspace)
        for _ in range(_ATTEMPTS):
            case = self._decide(invocation, request, view)
            if isinstance(case, _Case) and isinstance(case.decision, Allow):
                with self._pool.claim(case.version.place) as claim:
                    if isinstance(await self._writer.admit(_admission(case)), Admitted):
                        return await self._run(case, case.decision, claim, on_output)
            fresh = await self._views.current(request.workspace)
            if fresh is view:
                # What was seen is what holds: only now may a refusal be given.
                refused = await self._refuse(case)
                if not isinstance(refused, StaleEpoch):
                    return refused
                fresh = await self._views.current(request.workspace)
            view = fresh
        raise SkillyardError(f"the rules changed {_ATTEMPTS} times while this call was being decided; try again")

    def _decide(self, invocation: InvocationId, request: InvokeRequest, view: View) -> _Case | NotFoundError:
        try:
            version = view.find(request.skill)
            entry = find_entry(version, request.entry)
        except NotFoundError as error:
            return error
        decision = self._decider.decide(view, request.agent, version)
        return _Case(invocation, request, view, version, entry, decision)

    async def _run(self, case: _Case, allow: Allow, claim: Claim, on_output: OutputSink) -> Invocation:
        """The part behind the admission: whatever happens here, the invocation ends in exactly one state."""
        try:
            outcome = await self._outcome(case, allow, claim, on_output)
        except asyncio.CancelledError:
            await self._end(case, Outcome(OutcomeState.CANCELLED, reason="the caller left"))
            raise
        except SkillyardError as error:
            # The caller gets the error, the record its reason. Input is checked before anything of it is sent.
            ran = claim.served and not isinstance(error, InputError)
            state = OutcomeState.LOST if ran else OutcomeState.REFUSED
            await self._end(case, Outcome(state, reason=f"{error.code}: {error}"))
            raise
        except BaseException as error:
            await self._end(case, Outcome(OutcomeState.LOST, reason=f"{type(error).__name__}: {error}"))
            raise
        await self._end(case, outcome)
        return Invocation(id=case.id, skill=case.version.ref, decision=allow, outcome=outcome)

    async def _outcome(self, case: _Case, allow: Allow, claim: Claim, on_output: OutputSink) -> Outcome:
        version, request = case.version, case.request
        if case.entry is None:
            return await asyncio.to_thread(self._instructions, version)
        call = Call(
            entry=case.entry,
            input_json=request.input_json,
            argv=request.argv,
            stdin=request.stdin,
            files=request.files,
            timeout_seconds=request.timeout_seconds,
            artefacts_to=self._artefacts / case.id,
        )

        async def start() -> RunningSandbox:
            return await self._starter.start(version, allow)

        async with self._pool.lease(claim, start) as sandbox:
            outcome = await sandbox.call(call, on_output)
        if outcome.state is OutcomeState.LOST and claim.stopped is not None:
            return replace(outcome, state=OutcomeState.KILLED, reason=str(claim.stopped))
        return outcome

    def _instructions(self, version: InstalledVersion) -> Outcome:
        """A skill without code answers with its instructions: the text of its SKILL.md."""
        text = (self._bundles.path(version.skill.bundle.digest) / _INSTRUCTIONS).read_text(encoding="utf-8")
        return Outcome(state=OutcomeState.SUCCEEDED, result_json=orjson.dumps({"instructions": text}))

    async def _end(self, case: _Case, outcome: Outcome) -> None:
        await self._endings.record(Ending(case.request.workspace, case.id, case.version.ref, outcome))

    async def _refuse(self, case: _Case | NotFoundError) -> Invocation | StaleEpoch:
        """Record a Hold with what has to be approved, or a Deny; the record is durable before the answer.

        Where the rules changed before the approval could be asked for, nothing is recorded: decide again.
        """
        if isinstance(case, NotFoundError):
            raise case
        decision = case.decision
        approval = None
        if isinstance(decision, Hold):
            agent = case.view.agents[case.request.agent]
            asked = await self._approver.request(agent, case.version, decision, seen=case.view.epoch)
            if isinstance(asked, StaleEpoch):
                return asked
            approval = asked
        codes = [reason.code for reason in decision.reasons]
        record = AuditRecord(
            workspace=case.request.workspace,
            at=utcnow(),
            actor=Actor(ActorKind.AGENT, case.request.agent),
            action=Action.INVOCATION_HELD if isinstance(decision, Hold) else Action.INVOCATION_DENIED,
            subject=f"invocation/{case.id}",
            payload={"skill": str(case.version.ref), "reasons": codes, "approval": approval},
        )
        await self._writer.record(record)
        outcome = Outcome(
            state=OutcomeState.REFUSED,
            reason="; ".join(reason.message for reason in decision.reasons),
            refusal={"decision": "held" if isinstance(decision, Hold) else "denied", "code": codes[0]},
        )
        return Invocation(id=case.id, skill=case.version.ref, decision=decision, outcome=outcome, approval=approval)


def find_entry(version: InstalledVersion, name: str | None) -> Entry | None:
    """The entry to call: the named one, or the default. ``None`` for a skill of instructions only."""
    entries = version.skill.entries
    if name is None:
        return entries[0] if entries else None
    found = next((entry for entry in entries if str(entry) == name), None)
    if found is None:
        known = ", ".join(str(entry) for entry in entries) or "none"
        raise NotFoundError(f"{version.ref} has no entry {name!r}; it has: {known}")
    return found


def _admission(case: _Case) -> Admission:
    return Admission(
        invocation=case.id,
        workspace=case.request.workspace,
        actor=Actor(ActorKind.AGENT, case.request.agent),
        skill_version=case.version.id,
        entry=str(case.entry) if case.entry else _INSTRUCTIONS,
        epoch=case.view.epoch,
        at=utcnow(),
        facts={"skill": str(case.version.ref), "reasons": [reason.code for reason in case.decision.reasons]},
    )
