"""Shipped secrets: what has a checkable form is for review; placeholders, hashes and examples are nothing.

No secret stands in this file: the tokens are made here, and checksums computed.
"""

from __future__ import annotations

import base64
import random
import string
import zlib

import pytest
from skillyard.governance.report import Severity, Verdict
from skillyard.governance.static import secrets
from skillyard.governance.static.hit import Hit
from tests.governance.static.showing import levels, view

_MADE = random.Random(20)
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase


def _letters(count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(_MADE.choice(alphabet) for _ in range(count))


def _checked(prefix: str) -> str:
    body = _letters(30)
    value, digits = zlib.crc32(body.encode()), ""
    while value:
        value, rest = divmod(value, 62)
        digits = _ALPHABET[rest] + digits
    return f"{prefix}_{body}{digits.rjust(6, '0')}"


def _key() -> str:
    body = base64.b64encode(_MADE.randbytes(1200)).decode()
    lines = "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    return f"-----BEGIN RSA PRIVATE KEY-----\n{lines}\n-----END RSA PRIVATE KEY-----\n"


SHIPPED = [
    ("secret_private_key", _key()),
    ("secret_private_key", '{"private_key": "' + _key().replace("\n", "\\n") + '"}'),
    ("secret_token", f'TOKEN = "{_checked("ghp")}"'),
    ("secret_token", f"//registry/:_authToken={_checked('npm')}"),
    ("secret_token", f"aws_access_key_id = AKIA{_letters(16, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567')}"),
    ("secret_token", f"key: AIza{_letters(34)}7"),
    ("secret_token", f"stripe: {'sk'}_live_{_letters(40)}8"),
    ("secret_token", f"slack: xoxb-7294610358-{_letters(30)}9"),
    ("secret_webhook", f"https://discord.com/api/webhooks/104958372610495837/{_letters(67)}4"),
    ("secret_webhook", f"bot = '7294610358:AA{_letters(32)}5'"),
    ("secret_password", "postgres://app:k9Xq72vLmP4@db.tabletools.io:5432/app"),
]

NOTHING = [
    "-----BEGIN RSA PRIVATE KEY-----\n...\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\nYOUR_KEY_HERE\n-----END PRIVATE KEY-----",
    "GITHUB_TOKEN=ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "GITHUB_TOKEN=ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "aws_access_key_id = AKIAIOSFODNN7EXAMPLE",
    "OPENAI_API_KEY=sk-your-key-here",
    "requests==2.32.3 --hash=sha256:55365417734eb18255590a9ff9eb97e9e1da868d4ccd6402399eaf68af20a760",
    '"integrity": "sha512-7Ck1hG3hWq0jXQn0oQm8T1gYkB5m0w1l0r9s2mQ=="',
    "commit 40d1421f0c2b7d3e9a8f5b6c4d3e2f1a0b9c8d7e",
    "postgres://user:password@localhost:5432/app",
    "mysql://root:${DB_PASSWORD}@db.tabletools.io/app",
    "https://discord.com/api/webhooks/YOUR_ID/YOUR_TOKEN",
    "key=AIzaSyXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX",
    "xoxb-1234567890-abcdefghijklmnop",
]


@pytest.mark.parametrize(("rule", "text"), SHIPPED, ids=[f"{rule}-{n}" for n, (rule, _) in enumerate(SHIPPED)])
@pytest.mark.parametrize("file", ["config.json", "SKILL.md"])
def test_a_shipped_secret_is_for_review(file: str, rule: str, text: str) -> None:
    assert levels(secrets.detect, view(text, file)) == {rule: Verdict.FLAG}


@pytest.mark.parametrize("text", NOTHING)
def test_placeholders_hashes_and_examples_are_nothing(text: str) -> None:
    assert levels(secrets.detect, view(text, "SKILL.md")) == {}


@pytest.mark.parametrize(("rule", "text"), SHIPPED, ids=[f"{rule}-{n}" for n, (rule, _) in enumerate(SHIPPED)])
def test_a_report_does_not_repeat_the_secret(rule: str, text: str) -> None:
    (hit,) = [one for one in secrets.detect(view(text, "a.txt")) if isinstance(one, Hit)]
    assert hit.rule.severity in {Severity.HIGH, Severity.MEDIUM}, rule
    assert len(hit.evidence) < 50 or "…" in hit.evidence
    assert "k9Xq72vLmP4" not in hit.evidence
