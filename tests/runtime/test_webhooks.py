"""Delivery to a real receiver in a process of its own, which checks signatures, fails, hangs, floods."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from skillyard.database import Database
from skillyard.errors import InputError
from skillyard.governance import outbox
from skillyard.governance.administrators import Administrator
from skillyard.governance.identity import Person
from skillyard.governance.tables import WebhookDeliveryRow
from skillyard.governance.webhook import SUBSCRIBABLE, Delivery, DeliveryState, Webhook, WebhookEvent
from skillyard.runtime.webhooks import Webhooks
from skillyard.settings import Settings
from skillyard.times import utcnow
from sqlalchemy import update

RECEIVER = Path(__file__).parents[1] / "assets" / "webhooks" / "receiver.py"


@dataclass
class Receiver:
    """``allow`` tells it a secret; ``heard`` is every request so far, genuine or not."""

    port: int
    secrets: Path
    log: Path
    scheme: str = "http"

    def url(self, path: str, *, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    def allow(self, secret: str) -> None:
        with self.secrets.open("a") as file:
            file.write(secret + "\n")

    @property
    def heard(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextmanager
def receiving(folder: Path, certificate: Path | None = None) -> Iterator[Receiver]:
    folder.mkdir()
    secrets, log = folder / "secrets", folder / "log"
    secrets.touch()
    log.touch()
    more = [] if certificate is None else [str(certificate)]
    with subprocess.Popen(
        [sys.executable, str(RECEIVER), str(secrets), str(log), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            yield Receiver(port, secrets, log, "http" if certificate is None else "https")
        finally:
            process.kill()


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with receiving(tmp_path / "receiver") as running:
        yield running


def settings_of(tmp_path: Path, **more: Any) -> Settings:
    usual = {"webhook_allow_private": True, "webhook_retry": 0.02, "webhook_timeout": 60.0}
    return Settings(home=tmp_path / "home", **(usual | more))


@dataclass
class Office:
    """Webhooks of the admin's workspace, looked after until something is so."""

    database: Database
    webhooks: Webhooks
    by: Administrator

    async def add(self, receiver: Receiver, path: str) -> Webhook:
        webhook, secret = await self.webhooks.add(receiver.url(path), SUBSCRIBABLE, by=self.by)
        receiver.allow(secret)
        return webhook

    async def announce(self, **data: Any) -> None:
        async with self.database.transaction() as session:
            await outbox.announce(session, self.by.workspace, WebhookEvent.PACKAGE_BANNED, data, at=utcnow())

    async def deliveries(self, webhook: Webhook) -> tuple[Delivery, ...]:
        async with self.database.reading() as session:
            return await outbox.list_deliveries(session, self.by.workspace, webhook.id)

    async def until(self, webhook: Webhook, state: DeliveryState, *, attempts: int = 0) -> Delivery:
        """Look after the outbox until the webhook's only message is in a state."""
        give_up = time.monotonic() + 60
        while True:
            await self.webhooks.look()
            (found,) = await self.deliveries(webhook)
            if found.state is state and found.attempts >= attempts:
                return found
            assert time.monotonic() < give_up, found
            await asyncio.sleep(0.01)


@pytest.fixture
async def office(database: Database, admin: Person, tmp_path: Path) -> Any:
    made = opened(database, admin, settings_of(tmp_path))
    yield made
    await made.webhooks.close()


def opened(database: Database, admin: Person, settings: Settings, *, lease: str = "this-process") -> Office:
    webhooks = Webhooks(database=database, settings=settings, lease=lease)
    return Office(database, webhooks, Administrator(admin.workspace, admin.id, admin.actor))


async def test_a_message_arrives_signed_and_once(office: Office, receiver: Receiver) -> None:
    webhook = await office.add(receiver, "/ok?key=a%20b")
    await office.announce(reason="häßlich \N{SNOWMAN}")
    done = await office.until(webhook, DeliveryState.DELIVERED)
    (heard,) = receiver.heard
    assert heard["genuine"], "a receiver's own check of the signature must pass"
    assert (heard["path"], heard["id"]) == ("/ok?key=a%20b", done.message)
    assert (heard["body"]["type"], heard["body"]["data"]) == ("package.banned", {"reason": "häßlich \N{SNOWMAN}"})
    assert (done.status, done.error, done.attempts) == (204, None, 1)
    assert heard["host"] == f"127.0.0.1:{receiver.port}"


async def test_a_receiver_that_fails_gets_the_same_message_again_until_it_takes_it(
    office: Office, receiver: Receiver
) -> None:
    webhook = await office.add(receiver, "/fail/3")
    await office.announce()
    done = await office.until(webhook, DeliveryState.DELIVERED)
    assert done.attempts == 4
    assert [one["id"] for one in receiver.heard] == [done.message] * 4


async def test_a_message_that_nobody_takes_is_dead_in_the_end_and_lives_again_when_told(
    office: Office, database: Database, admin: Person, tmp_path: Path, receiver: Receiver
) -> None:
    hasty = opened(database, admin, settings_of(tmp_path, webhook_max_age_hours=1.0), lease="another")
    webhook = await hasty.add(receiver, "/never")
    await hasty.announce()
    await hasty.until(webhook, DeliveryState.WAITING, attempts=2)
    # As if that hour were over; an attempt that is under way took the old time along, and another one comes.
    async with database.transaction() as session:
        await session.execute(update(WebhookDeliveryRow).values(counted_from=utcnow() - timedelta(hours=2)))
    dead = await hasty.until(webhook, DeliveryState.DEAD)
    assert dead.error == "answered with status 500, and did not take it"
    assert dead.attempts > 1
    before = len(receiver.heard)
    again = await office.webhooks.retry(webhook.id, dead.id, by=office.by)
    assert (again.state, again.attempts, again.message) == (DeliveryState.WAITING, 0, dead.message)
    await office.until(webhook, DeliveryState.WAITING, attempts=1)
    assert len(receiver.heard) > before
    await hasty.webhooks.close()


@pytest.mark.database("sqlite")
@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/hang", "no answer within 3 s"),
        ("/dripping", "no answer within 3 s"),
        ("/garbage", "what answers does not speak HTTP as it should"),
        ("/redirect/9", "answered with status 307, a redirect, which is not followed"),
    ],
)
async def test_what_a_receiver_does_wrong_costs_an_attempt_and_is_said(
    database: Database, admin: Person, tmp_path: Path, receiver: Receiver, path: str, error: str
) -> None:
    office = opened(database, admin, settings_of(tmp_path, webhook_timeout=3.0))
    bad, good = await office.add(receiver, path), await office.add(receiver, "/ok")
    await office.announce()
    assert (await office.until(good, DeliveryState.DELIVERED)).attempts == 1
    failed = await office.until(bad, DeliveryState.WAITING, attempts=1)
    assert failed.error == error
    await office.webhooks.close()


@pytest.mark.database("sqlite")
async def test_an_answer_without_an_end_is_not_read(office: Office, receiver: Receiver) -> None:
    webhook = await office.add(receiver, "/huge")
    await office.announce()
    assert (await office.until(webhook, DeliveryState.DELIVERED)).attempts == 1


@pytest.mark.database("sqlite")
async def test_a_hanging_receiver_holds_up_nobody_else(office: Office, receiver: Receiver) -> None:
    hanging = [await office.add(receiver, "/hang") for _ in range(3)]
    good = await office.add(receiver, "/ok")
    for number in range(5):
        await office.announce(number=number)
    give_up = time.monotonic() + 60
    while not all(one.state is DeliveryState.DELIVERED for one in await office.deliveries(good)):
        assert time.monotonic() < give_up
        await office.webhooks.look()
        await asyncio.sleep(0.01)
    assert [one["body"]["data"]["number"] for one in receiver.heard if one["path"] == "/ok"] == [0, 1, 2, 3, 4]
    assert {one.state for hook in hanging for one in [*await office.deliveries(hook)]} == {DeliveryState.WAITING}


@pytest.mark.database("sqlite")
async def test_a_test_message_says_at_once_what_came_of_it(office: Office, receiver: Receiver) -> None:
    good, bad = await office.add(receiver, "/ok"), await office.add(receiver, "/never")
    assert (await office.webhooks.test(good.id, by=office.by)).state is DeliveryState.DELIVERED
    failed = await office.webhooks.test(bad.id, by=office.by)
    assert (failed.state, failed.status, failed.attempts) == (DeliveryState.WAITING, 500, 1)
    assert [one["body"]["type"] for one in receiver.heard] == ["webhook.test", "webhook.test"]


# Where messages may go.


PRIVATE = [
    "https://127.0.0.1/",
    "https://localhost/",
    "https://10.1.2.3/",
    "https://192.168.0.1:8443/x",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1/",
    "https://0.0.0.0/",
    "https://224.0.0.1/",
    "https://[::1]/",
    "https://[fe80::1]/",
    "https://[fd00::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://2130706433/",
    "https://0x7f.1/",
    "https://127.1/",
]


@pytest.mark.database("sqlite")
@pytest.mark.parametrize("url", PRIVATE)
async def test_private_addresses_are_refused_unless_allowed(
    database: Database, admin: Person, tmp_path: Path, url: str
) -> None:
    strict = opened(database, admin, settings_of(tmp_path, webhook_allow_private=False))
    with pytest.raises(InputError) as refused:
        await strict.webhooks.add(url, SUBSCRIBABLE, by=strict.by)
    assert refused.value.field == "url"


@pytest.mark.database("sqlite")
@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/",
        "https:///path",
        "no address",
        "https://user:password@example.org/",
        "https://example.org/#fragment",
        "https://nothing.invalid/",
        "http://93.184.215.14/",
        "https://example.org/" + "x" * 2000,
    ],
)
async def test_what_is_no_address_for_messages_is_refused(office: Office, url: str) -> None:
    with pytest.raises(InputError) as refused:
        await office.webhooks.add(url, SUBSCRIBABLE, by=office.by)
    assert refused.value.field == "url"


@pytest.mark.database("sqlite")
async def test_an_address_is_checked_again_whenever_something_is_sent(
    office: Office, database: Database, admin: Person, tmp_path: Path, receiver: Receiver
) -> None:
    """A name may lead elsewhere than when it was added; here it is the setting that changed."""
    webhook = await office.add(receiver, "/ok")
    await office.announce()
    strict = opened(database, admin, settings_of(tmp_path, webhook_allow_private=False), lease="strict")
    refused = await strict.until(webhook, DeliveryState.WAITING, attempts=1)
    assert refused.error is not None
    assert "private address" in refused.error
    assert receiver.heard == []
    await strict.webhooks.close()


def certificate(folder: Path, name: str) -> Path:
    """A self-signed certificate and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / f"{name}.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.database("sqlite")
async def test_https_is_checked_against_the_name_and_a_certificate_that_is_trusted(
    database: Database, admin: Person, tmp_path: Path
) -> None:
    right, wrong = certificate(tmp_path, "localhost"), certificate(tmp_path, "elsewhere.example.org")
    trusting = opened(database, admin, settings_of(tmp_path, webhook_ca_bundle=right), lease="a")
    unknown = opened(database, admin, settings_of(tmp_path), lease="b")
    misled = opened(database, admin, settings_of(tmp_path, webhook_ca_bundle=wrong), lease="c")
    with receiving(tmp_path / "right", right) as good, receiving(tmp_path / "wrong", wrong) as bad:
        for office, receiver in ((unknown, good), (misled, bad)):
            webhook, secret = await office.webhooks.add(
                receiver.url("/ok", host="localhost"), SUBSCRIBABLE, by=office.by
            )
            receiver.allow(secret)
            refused = await office.webhooks.test(webhook.id, by=office.by)
            assert refused.error == "its certificate is not one that is trusted here"
            await office.webhooks.remove(webhook.id, by=office.by)
        webhook, secret = await trusting.webhooks.add(good.url("/ok", host="localhost"), SUBSCRIBABLE, by=trusting.by)
        good.allow(secret)
        assert (await trusting.webhooks.test(webhook.id, by=trusting.by)).state is DeliveryState.DELIVERED
        assert [one["path"] for one in good.heard] == ["/ok"]
        assert bad.heard == []


# Many processes, and the end of one.

_SENDING = """
import asyncio, sys
from pathlib import Path
from skillyard.database import open_database
from skillyard.runtime.webhooks import Webhooks
from skillyard.settings import Settings
async def main(url, home, lease):
    more = {"webhook_retry": 0.02, "webhook_timeout": float(sys.argv[4])}
    settings = Settings(home=Path(home), webhook_allow_private=True, **more)
    webhooks = Webhooks(database=await open_database(url), settings=settings, lease=lease)
    print("ready", flush=True)
    while True:
        await webhooks.look()
        await asyncio.sleep(0.01)
asyncio.run(main(*sys.argv[1:4]))
"""


@contextmanager
def sending(url: str, home: Path, lease: str, *, timeout: float = 60.0) -> Iterator[subprocess.Popen[str]]:
    """A process that delivers until the block ends, or it is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", _SENDING, url, str(home), lease, str(timeout)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


async def test_several_processes_deliver_each_message_once(
    office: Office, migrated_url: str, tmp_path: Path, receiver: Receiver
) -> None:
    webhooks = [await office.add(receiver, f"/ok/{number}") for number in range(4)]
    for number in range(5):
        await office.announce(number=number)
    with sending(migrated_url, tmp_path / "home", "a"), sending(migrated_url, tmp_path / "home", "b"):
        give_up = time.monotonic() + 60
        while len(receiver.heard) < 20:
            assert time.monotonic() < give_up
            await asyncio.sleep(0.05)
        while {one.state for hook in webhooks for one in [*await office.deliveries(hook)]} != {DeliveryState.DELIVERED}:
            assert time.monotonic() < give_up
            await asyncio.sleep(0.05)
    ids = [one["id"] for one in receiver.heard]
    assert len(ids) == len(set(ids)) == 20


async def test_what_a_killed_process_was_sending_is_sent_again_under_the_same_id(
    office: Office, migrated_url: str, tmp_path: Path, receiver: Receiver
) -> None:
    webhook = await office.add(receiver, "/hang")
    await office.announce()
    with sending(migrated_url, tmp_path / "home", "doomed", timeout=100) as process:
        give_up = time.monotonic() + 60
        while not receiver.heard:
            assert time.monotonic() < give_up
            await asyncio.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    now = utcnow()
    async with office.database.transaction() as session:
        assert await outbox.due(session, now, limit=5) == (), "its claim holds for a while"
        hold = timedelta(seconds=3 * 100 + 30)
        due = await outbox.due(session, now + hold, limit=5)
        (claimed,) = await outbox.claim(session, due, by="heir", now=now + hold, hold=hold)
    assert (claimed.message, claimed.webhook) == (receiver.heard[0]["id"], webhook.id)
