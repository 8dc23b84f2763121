"""The outbox: what is told is what was committed, each message is one process's at a time, and none is lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import orjson
import pytest
from skillyard.database import open_database
from skillyard.errors import ConflictError, InputError, NotFoundError
from skillyard.governance import approvals, outbox, people, webhook_store
from skillyard.governance.errors import AdminRoleError
from skillyard.governance.identity import SYSTEM, Person, Role
from skillyard.governance.tables import WebhookDeliveryRow, WebhookRow
from skillyard.governance.webhook import SUBSCRIBABLE, Claimed, Delivery, DeliveryState, Webhook, WebhookEvent
from skillyard.ids import ApprovalId, WorkspaceId
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from tests.governance.approvals.yard import DAY, NOW, Yard, acting

HOLD = timedelta(seconds=60)
ADDRESS = "https://hooks.example.org/approvals/token-in-a-path"


async def add(
    yard: Yard, *events: WebhookEvent, by: Person | None = None, workspace: WorkspaceId | None = None
) -> Webhook:
    made, secret = await yard.do(
        lambda session: webhook_store.add(
            session,
            workspace or yard.workspace,
            ADDRESS,
            events or SUBSCRIBABLE,
            origin="https://hooks.example.org",
            by=acting(by or yard.bob),
            at=NOW,
        )
    )
    assert secret.startswith("whsec_")
    return made


async def messages(yard: Yard, webhook: Webhook) -> list[Delivery]:
    found = await yard.do(lambda session: outbox.list_deliveries(session, webhook.workspace, webhook.id))
    return list(reversed(found))


async def take(yard: Yard, *, by: str = "a", at: float = 0.0) -> tuple[Claimed, ...]:
    now = NOW + timedelta(seconds=at)

    async def both(session: AsyncSession) -> tuple[Claimed, ...]:
        due = await outbox.due(session, now, limit=16)
        return await outbox.claim(session, due, by=by, now=now, hold=HOLD)

    return await yard.do(both)


async def settle(
    yard: Yard, sent: Claimed, *, by: str = "a", error: str | None = None, again: float | None = None
) -> bool:
    again_at = None if again is None else NOW + timedelta(seconds=again)
    return await yard.do(
        lambda session: outbox.settle(
            session, sent, by=by, at=NOW, status=None if error else 204, error=error, again_at=again_at
        )
    )


async def test_every_step_of_a_request_and_every_ban_is_told_to_those_who_listen(yard: Yard) -> None:
    every = await add(yard)
    bans = await add(yard, WebhookEvent.PACKAGE_BANNED)
    asked = await yard.ask()
    await yard.approve(asked, yard.bob)
    await yard.ban("numpy", "<2")
    told = await messages(yard, every)
    assert [one.event.value for one in told] == ["approval.requested", "approval.decided", "package.banned"]
    assert [one.event.value for one in await messages(yard, bans)] == ["package.banned"]
    assert len({one.message for one in told}) == 3
    bodies = await yard.do(
        lambda session: session.scalars(select(WebhookDeliveryRow.body).order_by(WebhookDeliveryRow.id))
    )
    first, second, third, *_ = [orjson.loads(body) for body in bodies]
    assert (first["type"], first["data"]["approval"]) == ("approval.requested", asked.id)
    assert first["data"]["packages"] == ["numpy==1.26.4", "pandas==2.2.0"]
    assert (second["data"]["state"], second["data"]["second_person"]) == ("approved", True)
    assert third["data"]["bans"][0]["reason"] == "it steals tokens"


async def test_what_is_rolled_back_is_not_told(yard: Yard) -> None:
    webhook = await add(yard)
    asked = await yard.ask()
    with pytest.raises(ZeroDivisionError):
        await yard.do(lambda session: _deny_and_fail(session, yard, asked.id))
    assert [one.event.value for one in await messages(yard, webhook)] == ["approval.requested"]


async def _deny_and_fail(session: AsyncSession, yard: Yard, approval: int) -> None:
    await approvals.deny(session, yard.workspace, ApprovalId(approval), by=yard.bob.id, at=NOW)
    raise ZeroDivisionError


async def test_a_message_is_one_process_s_until_its_claim_runs_out(yard: Yard, url: str) -> None:
    await add(yard)
    await yard.ask()
    other = await open_database(url)
    far = Yard(other, yard.workspace, yard.ann, yard.bob, yard.member, yard.intern, yard.skill)
    try:
        taken = await asyncio.gather(take(yard, by="a"), take(far, by="b"), take(yard, by="c"), take(far, by="d"))
    finally:
        await other.close()
    ((first,),) = [one for one in taken if one]
    assert await take(yard, by="e", at=HOLD.total_seconds() - 1) == ()
    (second,) = await take(yard, by="e", at=HOLD.total_seconds() + 1)
    assert second.message == first.message, "a receiver knows by the id what it had before"
    owner = "abcd"[[bool(one) for one in taken].index(True)]
    assert not await settle(yard, first, by=owner), "whoever lost the claim must not settle it"
    assert await settle(yard, second, by="e")


async def test_each_webhook_has_its_own_queue(yard: Yard) -> None:
    one, two = await add(yard), await add(yard)
    await yard.ask()
    await yard.ban("left")
    taken = await take(yard)
    assert {message.webhook for message in taken} == {one.id, two.id}
    assert len(taken) == 2, "one message at a time to each"
    due = await yard.do(lambda session: outbox.due(session, NOW, limit=16, busy=[one.id]))
    assert len(due) == 1
    only = await yard.do(lambda session: outbox.due(session, NOW, limit=16, only=two.id))
    assert only == due


async def test_a_failure_is_tried_again_in_time_and_a_dead_message_by_hand(yard: Yard) -> None:
    webhook = await add(yard)
    await yard.ask()
    (sent,) = await take(yard)
    assert await settle(yard, sent, error="answered with status 500", again=30)
    (kept,) = await messages(yard, webhook)
    assert (kept.state, kept.attempts, kept.error) == (DeliveryState.WAITING, 1, "answered with status 500")
    assert await take(yard, at=29) == ()
    (again,) = await take(yard, at=31)
    assert again.attempts == 1
    assert await settle(yard, again, error="no answer within 10 s")
    (dead,) = await messages(yard, webhook)
    assert (dead.state, dead.attempts, dead.next_attempt_at) == (DeliveryState.DEAD, 2, None)
    assert await take(yard, at=10_000) == ()

    async def retry(session: AsyncSession) -> Delivery:
        return await outbox.retry(session, yard.workspace, webhook.id, dead.id, at=NOW + DAY)

    assert (await yard.do(retry)).state is DeliveryState.WAITING
    with pytest.raises(ConflictError):
        await yard.do(retry)
    (revived,) = await take(yard, at=DAY.total_seconds())
    assert (revived.message, revived.attempts, revived.counted_from) == (sent.message, 0, NOW + DAY)
    assert await settle(yard, revived)
    assert (await messages(yard, webhook))[0].state is DeliveryState.DELIVERED
    with pytest.raises(ConflictError):
        await yard.do(retry)


async def test_messages_that_ended_are_forgotten_in_time_and_no_others(yard: Yard) -> None:
    webhook = await add(yard)
    await yard.ask()
    (sent,) = await take(yard)
    await settle(yard, sent)
    await yard.ban("left")
    assert await yard.do(lambda session: outbox.forget(session, ended_before=NOW)) == 0
    assert await yard.do(lambda session: outbox.forget(session, ended_before=NOW + DAY)) == 1
    assert [one.event.value for one in await messages(yard, webhook)] == ["package.banned"]


async def test_a_removed_webhook_gets_nothing_and_its_secret_is_gone(yard: Yard) -> None:
    webhook = await add(yard)
    await yard.ask()

    async def remove(session: AsyncSession) -> None:
        await webhook_store.remove(session, yard.workspace, webhook.id, by=acting(yard.bob), at=NOW)

    await yard.do(remove)
    with pytest.raises(NotFoundError):
        await yard.do(remove)
    assert await take(yard) == ()
    assert [one.state for one in await messages(yard, webhook)] == [DeliveryState.DEAD]
    secrets = (await yard.do(lambda session: session.scalars(select(WebhookRow.secret)))).all()
    assert secrets == [""]
    await yard.ban("left")
    assert len(await messages(yard, webhook)) == 1
    trail = dict(await yard.trail())
    assert trail["webhook.added"]["origin"] == "https://hooks.example.org"
    assert "token-in-a-path" not in str(trail), "the path of a webhook is often its password"
    assert "webhook.removed" in trail


async def test_only_admins_add_and_remove_and_only_real_events_count(yard: Yard) -> None:
    with pytest.raises(AdminRoleError):
        await add(yard, by=yard.member)
    for events in ((WebhookEvent.TEST,), ()):
        with pytest.raises(InputError) as refused:
            await yard.do(
                lambda session, events=events: webhook_store.add(
                    session, yard.workspace, ADDRESS, events, origin="x", by=acting(yard.bob), at=NOW
                )
            )
        assert refused.value.field == "events"
    webhook = await add(yard)
    with pytest.raises(AdminRoleError):
        await yard.do(
            lambda session: webhook_store.remove(session, yard.workspace, webhook.id, by=acting(yard.member), at=NOW)
        )


async def test_a_workspace_has_a_bounded_number_of_webhooks(yard: Yard) -> None:
    done = await asyncio.gather(*(add(yard) for _ in range(webhook_store.MOST_WEBHOOKS + 3)), return_exceptions=True)
    refused = [one for one in done if isinstance(one, BaseException)]
    assert [type(one) for one in refused] == [ConflictError] * 3


async def test_another_workspace_is_told_nothing_and_sees_nothing(yard: Yard) -> None:
    async with yard.database.transaction() as session:
        rival = (await people.create_workspace(session, "rival", by=SYSTEM, at=NOW)).id
        spy = await people.add_person(session, rival, "spy", Role.ADMIN, by=SYSTEM, at=NOW)
    ours, theirs = await add(yard), await add(yard, by=spy, workspace=rival)
    await yard.ask()
    assert await messages(yard, theirs) == []
    (delivery,) = await messages(yard, ours)
    for work in (
        lambda session: webhook_store.get(session, rival, ours.id),
        lambda session: webhook_store.remove(session, rival, ours.id, by=acting(spy), at=NOW),
        lambda session: outbox.get(session, rival, ours.id, delivery.id),
        lambda session: outbox.retry(session, rival, ours.id, delivery.id, at=NOW),
        lambda session: outbox.send_test(session, rival, ours.id, at=NOW),
    ):
        with pytest.raises(NotFoundError):
            await yard.do(work)
    assert await yard.do(lambda session: outbox.list_deliveries(session, rival, ours.id)) == ()
