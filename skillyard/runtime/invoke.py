"""One call, from request to answer: decide, admit, lease, run, record, answer.

The order matters. The decision may use what this process last saw; the admission, one durable transaction, checks the
rules epoch, and a changed epoch means deciding again. Nothing runs before its admission is durable, and nobody is
answered before the outcome is.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
import structlog

from skillyard.errors import InputError, NotFoundError, SkillyardError
from skillyard.governance.audit import Action, AuditRecord
from skillyard.governance.decision import Allow, Decision, Deny, Hold
from skillyard.governance.identity import Actor, ActorKind
from skillyard.governance.quotas import CallQuotaExceededError
from skillyard.governance.report import PackageRef
from skillyard.ids import ApprovalId, InvocationId
from skillyard.json_value import JsonValue
from skillyard.runtime.admission import AdmissionWriter
from skillyard.runtime.approve import Approver
from skillyard.runtime.decide import Decider
from skillyard.runtime.endings import Ending, Endings
from skillyard.runtime.journal import Admission, Admitted, StaleEpoch
from skillyard.runtime.open_calls import OnAdmitted, OpenCall, OpenCalls, unheard
from skillyard.runtime.over_quota import OverQuota
from skillyard.runtime.pool import Pool
from skillyard.runtime.recording import Recorder, Recording, Unrecorded
from skillyard.runtime.slots import Claim, StartSandbox
from skillyard.runtime.start import Starter
from skillyard.runtime.storage_room import StorageRoom
from skillyard.runtime.values import InstalledVersion, Invocation, InvokeRequest
from skillyard.runtime.views import View, Views
from skillyard.runtime.waiting import Held, OnHeld, Waiter, WaitingRoom, unheld
from skillyard.sandbox.artefacts import store_result
from skillyard.sandbox.errors import NotBegunError, SandboxError
from skillyard.sandbox.folders import remove_folder
from skillyard.sandbox.outcome import Call, Outcome, OutcomeState
from skillyard.sandbox.sandbox import OutputSink, RunningSandbox, discard
from skillyard.skills.bundle_store import BundleStore
from skillyard.skills.skill import Entry
from skillyard.times import utcnow

_ATTEMPTS = 20
"""Rules may change between decision and admission; that often in a row means that something is wrong."""

_SANDBOXES = 3
"""So many may go away before a call begins; then it is the skill's packages or the machine, and no accident."""

_INSTRUCTIONS = "SKILL.md"

_log = structlog.get_logger("skillyard.invoke")


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
        staged_as: Path,
        endings: Endings,
        calls: OpenCalls,
        recorder: Recorder,
        waiting: WaitingRoom,
        storage: StorageRoom,
    ) -> None:
        """``staged_as``, with a call's id as suffix, is where its files are until all are there."""
        self._views = views
        self._decider = decider
        self._approver = approver
        self._writer = writer
        self._pool = pool
        self._starter = starter
        self._bundles = bundles
        self._artefacts = artefacts
        self._staged_as = staged_as
        self._endings = endings
        self._calls = calls
        self._waiting = waiting
        self._recorder = recorder
        self._storage = storage
        self._over_quota = OverQuota(writer=writer)

    async def invoke(
        self,
        request: InvokeRequest,
        on_output: OutputSink = discard,
        on_admitted: OnAdmitted = unheard,
        on_held: OnHeld = unheld,
    ) -> Invocation:
        """Run one call to its end. A refusal is an ``Invocation`` too, with state ``refused`` and the decision.

        ``on_admitted`` is told the call's id once its admission is durable: from then on it can be cancelled.
        ``on_held`` is told when the call begins to wait for an approval, if its caller wants to wait.

        Raises ``NotFoundError`` for a skill or entry that is not there, ``QueueFullError``, and machine errors; every
        admitted call has been recorded as ended by then.
        """
        self._waiting.check(request.wait_for_approval)
        invocation = InvocationId(str(uuid.uuid4()))

        async def attempt() -> Invocation:
            return await self._attempt(invocation, request, on_output, on_admitted)

        made = await attempt()
        if not request.wait_for_approval or made.approval is None or isinstance(made.decision, Deny):
            return made
        with self._waiting.place(request.workspace, made.approval, request.wait_for_approval) as waiter:
            return await self._when_approved(made, request, waiter, attempt, on_held)

    async def _when_approved(
        self,
        held: Invocation,
        request: InvokeRequest,
        waiter: Waiter,
        attempt: Callable[[], Awaitable[Invocation]],
        on_held: OnHeld,
    ) -> Invocation:
        """A held call, made again whenever something changes that it hangs on: until it is not held any more, or its
        time is over."""
        made = held
        while isinstance(made.decision, Hold) and made.approval is not None:
            on_held(Held(made.id, made.approval, waiter.until))
            if not await self._changed(waiter, request, made.approval, made.decision):
                return await self._undecided(made, request)
            made = await attempt()
        return made

    async def _changed(self, waiter: Waiter, request: InvokeRequest, approval: ApprovalId, hold: Hold) -> bool:
        """Wait until the call has to be made again; false when its time is over. A change of rules that leaves it held
        for the same is none."""
        view = await self._views.current(request.workspace)
        while self._holds(view, request, hold):
            if not await self._waiting.changed(waiter, approval, seen=view.epoch):
                return False
            fresh = await self._views.current(request.workspace)
            if fresh is view:
                return True  # Nothing changed but the request: it was decided.
            view = fresh
        return True

    def _holds(self, view: View, request: InvokeRequest, hold: Hold) -> bool:
        case = self._decide(InvocationId(""), request, view)
        return isinstance(case, _Case) and isinstance(case.decision, Hold) and _lacks(case.decision) == _lacks(hold)

    async def _undecided(self, held: Invocation, request: InvokeRequest) -> Invocation:
        """A held call whose time to wait is over; its request goes on waiting."""
        record = AuditRecord(
            workspace=request.workspace,
            at=utcnow(),
            actor=Actor(ActorKind.AGENT, request.agent),
            action=Action.INVOCATION_REFUSED,
            subject=f"invocation/{held.id}",
            payload={"skill": str(held.skill), "reasons": ["approval_timeout"], "approval": held.approval},
        )
        await self._writer.record(record)
        waited = f"request {held.approval} was not decided within {request.wait_for_approval:g} s and goes on waiting"
        refusal = {"decision": "held", "code": "approval_timeout"}
        return replace(held, outcome=replace(held.outcome, reason=waited, refusal=refusal))

    async def _attempt(
        self, invocation: InvocationId, request: InvokeRequest, on_output: OutputSink, on_admitted: OnAdmitted
    ) -> Invocation:
        """Decide and run, or refuse. A refusal is given on what holds now, and is on record."""
        view = await self._views.latest(request.workspace)
        for _ in range(_ATTEMPTS):
            case = self._decide(invocation, request, view)
            if isinstance(case, _Case) and isinstance(case.decision, Allow):
                self._pool.cap(view.workspace, view.quotas)
                with self._pool.claim(case.version.place, case.decision.granted) as claim:
                    if isinstance(await self._admit(case), Admitted):
                        return await self._run(case, case.decision, claim, on_output, on_admitted)
            fresh = await self._views.current(request.workspace)
            if fresh is view:
                # What was seen is what holds: only now may a refusal be given.
                refused = await self._refuse(case)
                if not isinstance(refused, StaleEpoch):
                    return refused
                fresh = await self._views.current(request.workspace)
            view = fresh
        raise SkillyardError(f"the rules changed {_ATTEMPTS} times while this call was being decided; try again")

    async def _admit(self, case: _Case) -> Admitted | StaleEpoch:
        """Raises ``CallQuotaExceededError`` too, which is noted."""
        try:
            return await self._writer.admit(_admission(case))
        except CallQuotaExceededError as error:
            await self._over_quota.note(case.id, case.request, error)
            raise

    def _decide(self, invocation: InvocationId, request: InvokeRequest, view: View) -> _Case | NotFoundError:
        try:
            version = view.find_for(request.agent, request.skill)
            entry = find_entry(version, request.entry)
        except NotFoundError as error:
            return error
        decision = self._decider.decide(view, request.agent, version)
        return _Case(invocation, request, view, version, entry, decision)

    async def _run(
        self, case: _Case, allow: Allow, claim: Claim, on_output: OutputSink, on_admitted: OnAdmitted
    ) -> Invocation:
        """The part behind the admission: whatever happens here, the invocation ends in exactly one state."""
        call = self._calls.begin(case.id)
        recording: Recording | Unrecorded = Unrecorded()
        try:
            try:
                on_admitted(case.id)
                if allow.supervised:
                    recording = await self._recorded(case, call)
                outcome = await recording.end(await self._outcome(case, allow, claim, recording.hears(on_output)))
            except BaseException as error:
                cancelled, outcome = call.settle(), _ending_of(error, claim)
                if not (cancelled and isinstance(error, asyncio.CancelledError)):
                    await recording.end(outcome)
                    await self._end_without_files(case, outcome)
                    raise
                outcome = replace(outcome, reason=f"cancelled by {call.cancelled_by}")
                await recording.end(outcome)
                await self._end_without_files(case, outcome)
            else:
                call.settle()
                if recording.failed:
                    await self._end_without_files(case, outcome)
                else:
                    outcome = await self._end_with_files(case, outcome)
        finally:
            recording.close()
            self._calls.end(case.id)
        return Invocation(id=case.id, skill=case.version.ref, decision=allow, outcome=outcome)

    async def _recorded(self, case: _Case, call: OpenCall) -> Recording:
        """The call's recording, begun; where it cannot go on, the call is ended."""
        agent = case.view.agents[case.request.agent]
        entry = str(case.entry) if case.entry else _INSTRUCTIONS
        facts: dict[str, JsonValue] = {"agent": agent.id, "agent_name": agent.name, "skill": str(case.version.ref)}
        return await self._recorder.begin(
            case.id, case.request, {**facts, "entry": entry}, lambda why: call.cancel(f"Skillyard: {why}")
        )

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
            staged_as=self._staged_as,
        )

        async def start() -> RunningSandbox:
            return await self._starter.start(version, allow)

        outcome = await self._in_a_sandbox(call, claim, start, on_output)
        if outcome.state is OutcomeState.LOST and claim.stopped is not None:
            return replace(outcome, state=OutcomeState.KILLED, reason=str(claim.stopped))
        most = request.result_file_above
        if most is not None and outcome.result_json is not None and len(outcome.result_json) > most:
            return await self._with_result_file(case, outcome, outcome.result_json)
        return outcome

    async def _in_a_sandbox(self, call: Call, claim: Claim, start: StartSandbox, on_output: OutputSink) -> Outcome:
        """In a sandbox, and in another where that one went away before anything of the call began."""
        for left in reversed(range(_SANDBOXES)):
            async with self._pool.lease(claim, start) as sandbox:
                try:
                    return await sandbox.call(call, on_output)
                except NotBegunError as error:
                    _log.warning("call_not_begun", reason=str(error), sandboxes_left=left)
                    if left == 0 or claim.stopped is not None:
                        return Outcome(state=OutcomeState.LOST, reason=str(error))
        raise AssertionError("the last sandbox is the last one")

    async def _with_result_file(self, case: _Case, outcome: Outcome, result: bytes) -> Outcome:
        taken = [file.path for file in outcome.files]
        try:
            file = await asyncio.to_thread(store_result, result, self._artefacts / case.id, self._staged_as, taken)
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise SandboxError(f"the result could not be stored: {error}") from error
            reason = "the host has no room for the result"
            return replace(outcome, state=OutcomeState.DISK_FULL, reason=reason, result_json=None)
        return replace(outcome, result_json=None, result_file=file)

    async def _end_with_files(self, case: _Case, outcome: Outcome) -> Outcome:
        """Record the end of a call, with the files it left if its workspace may keep them; the outcome as recorded."""
        async with self._storage.kept(case.request.workspace, case.view.quotas, outcome) as kept:
            if kept is outcome:
                await self._end(case, kept)
            else:
                await self._end_without_files(case, kept)
        return kept

    async def _end_without_files(self, case: _Case, outcome: Outcome) -> None:
        """Record the end of a call that gave no outcome, then remove what it left: that is on no record. What cannot
        be removed is collected as garbage."""
        await self._end(case, outcome)
        with contextlib.suppress(OSError):
            await asyncio.to_thread(remove_folder, self._artefacts / case.id)

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
        decision: Decision = case.decision
        approval = None
        if isinstance(decision, Hold):
            agent = case.view.agents[case.request.agent]
            asked = await self._approver.request(agent, case.version, decision, seen=case.view.epoch)
            if isinstance(asked, StaleEpoch):
                return asked
            approval = asked.approval
            if asked.denial is not None:
                decision = Deny((asked.denial, *decision.reasons))
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


def _lacks(hold: Hold) -> tuple[frozenset[PackageRef], bool]:
    return frozenset(hold.packages), hold.first_use


def _ending_of(error: BaseException, claim: Claim) -> Outcome:
    """What is recorded of a call that gave no outcome. The caller gets the error, the record its reason."""
    match error:
        case asyncio.CancelledError():
            return Outcome(OutcomeState.CANCELLED, reason="the caller left")
        case SkillyardError():
            # Nothing of a call runs before all its input is there.
            ran = claim.served and not isinstance(error, InputError)
            return Outcome(OutcomeState.LOST if ran else OutcomeState.REFUSED, reason=f"{error.code}: {error}")
        case _:
            return Outcome(OutcomeState.LOST, reason=f"{type(error).__name__}: {error}")


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
        limits=case.view.quotas.calls,
        supervised=isinstance(case.decision, Allow) and case.decision.supervised,
    )
