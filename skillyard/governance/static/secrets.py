"""Secrets that a skill ships: keys and tokens whose form can be checked, and never what merely looks random.

Documentation is full of placeholders, locks of hashes, and tests of fixtures; a rule by randomness alone would be wrong
nearly every time. What is found is for review: a shipped secret harms its owner, and rarely the person who installs it.
Evidence shows the beginning alone.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import string
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from skillyard.governance.report import Confidence, Severity, Verdict
from skillyard.governance.static.hit import Hit, Shown
from skillyard.governance.static.rule import Rule
from skillyard.governance.static.view import View

_WHY: Final = "Whoever gets the skill gets the secret, and can do what its owner can."
_FIX: Final = "Revoke it, remove it, and read it from the environment or ask the person for it."
PRIVATE_KEY: Final = Rule("secret_private_key", "a private key is shipped", Severity.HIGH, Verdict.FLAG, _WHY, _FIX)
TOKEN: Final = Rule("secret_token", "a token or key of a service is shipped", Severity.HIGH, Verdict.FLAG, _WHY, _FIX)
WEBHOOK: Final = Rule(
    id="secret_webhook",
    title="the address of somebody's chat webhook or bot is shipped",
    severity=Severity.HIGH,
    level=Verdict.FLAG,
    why="Whatever is sent there reaches its owner, who is not the person that uses the skill.",
    fix="Let the person set the address.",
)
PASSWORD: Final = Rule("secret_password", "a password is part of an address", Severity.MEDIUM, Verdict.FLAG, _WHY, _FIX)
RULES: Final = (PRIVATE_KEY, TOKEN, WEBHOOK, PASSWORD)

_PEM: Final = re.compile(
    r"-----BEGIN ((?:RSA |EC |DSA |OPENSSH |ENCRYPTED )?PRIVATE KEY|PGP PRIVATE KEY BLOCK)-----((?:\s|\\n|[A-Za-z0-9+/=:,. -]){0,20000}?)-----END"
)
_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_PLACEHOLDER: Final = re.compile(
    r"example|your|xxxx|placeholder|dummy|fake|sample|redacted|changeme|insert|replace|secret|token|test|demo|abcdef|123456|000000|aaaaaa|\.\.\.|<|\$|\{",
    re.IGNORECASE,
)


def _checksum(token: str) -> bool:
    """GitHub and npm end their tokens with a CRC32 in base 62, so that scanners need not guess."""
    body, check = token.partition("_")[2][:-6], token[-6:]
    value, digits = zlib.crc32(body.encode()), ""
    while value:
        value, rest = divmod(value, 62)
        digits = _ALPHABET[rest] + digits
    return digits.rjust(6, "0") == check


def _random(token: str) -> bool:
    body = re.split(r"[-_.:]", token, maxsplit=1)[-1]
    return not _PLACEHOLDER.search(body) and _entropy(body) >= 3.2 and any(c.isdigit() for c in body)


def _entropy(text: str) -> float:
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values()) if text else 0.0


def _google_key(token: str) -> bool:
    return _random(token) and len(set(token)) > 15


_TOKENS: Final[tuple[tuple[str, tuple[str, ...], re.Pattern[str], Callable[[str], bool]], ...]] = (
    ("GitHub", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36}\b"), _checksum),
    ("GitHub", ("github_pat_",), re.compile(r"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b"), _random),
    ("npm", ("npm_",), re.compile(r"\bnpm_[A-Za-z0-9]{36}\b"), _checksum),
    ("PyPI", ("pypi-AgEI",), re.compile(r"\bpypi-AgEIcHlwaS5vcmc[\w-]{50,}"), _random),
    ("AWS", ("AKIA", "ASIA"), re.compile(r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"), lambda token: not token.endswith("EXAMPLE") and _entropy(token) >= 2.8),
    ("Google", ("AIza",), re.compile(r"\bAIza[\w-]{35}(?![\w-])"), _google_key),
    ("GitLab", ("glpat-",), re.compile(r"\bglpat-[\w-]{20}(?![\w-])"), _random),
    ("Slack", ("xox",), re.compile(r"\bxox[abeoprs]-\d{8,14}-[\w-]{16,}"), _random),
    ("Stripe", ("k_live_",), re.compile(r"\b[rs]k_live_[A-Za-z0-9]{24,99}\b"), _random),
    ("Anthropic", ("sk-ant-",), re.compile(r"\bsk-ant-(?:api|admin)\d\d-[\w-]{80,110}AA\b"), _random),
    ("OpenAI", ("T3BlbkFJ",), re.compile(r"\bsk-(?:proj-|svcacct-)?[\w-]{20,80}T3BlbkFJ[\w-]{20,80}"), _random),
    ("Hugging Face", ("hf_",), re.compile(r"\bhf_[A-Za-z]{34}\b"), lambda token: not _PLACEHOLDER.search(token) and _entropy(token) >= 3.8),
    ("SendGrid", ("SG.",), re.compile(r"\bSG\.[\w-]{22}\.[\w-]{43}(?![\w-])"), _random),
    ("Azure", ("AccountKey=",), re.compile(r"\bAccountKey=[A-Za-z0-9+/]{86}=="), _random),
    ("DigitalOcean", ("dop_v1_",), re.compile(r"\bdop_v1_[0-9a-f]{64}\b"), _random),
)  # fmt: skip
_WEBHOOKS: Final = (
    ("/webhooks/", re.compile(r"discord(?:app)?\.com/api/webhooks/\d{17,20}/[\w-]{60,90}")),
    ("hooks.slack", re.compile(r"hooks\.slack\.com/services/T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{24}\b")),
    (":AA", re.compile(r"(?<![\w.])\d{8,10}:AA[\w-]{33}(?![\w-])")),
)
_IN_ADDRESS: Final = re.compile(
    r"\b(?:https?|ftp|postgres(?:ql)?|mysql|mongodb(?:\+srv)?|redis|amqp|ssh)://[\w.-]{1,60}:([^\s:@/\"'<>${}\[\]()*]{6,80})@([\w.-]{3,120})"
)


def detect(view: View) -> Iterator[Shown]:
    """Keys, tokens and webhooks. The wire between a secret and its being sent is for other rules."""
    text = view.text
    if "PRIVATE KEY" in text:
        yield from _keys(view)
    for owner, begins, pattern, checked in _TOKENS:
        if not any(begin in text for begin in begins):
            continue
        for found in pattern.finditer(text):
            if checked(found[0]):
                yield Hit(TOKEN, view, view.line(found.start()), _masked(found[0]), f"({owner})")
    for begin, pattern in _WEBHOOKS:
        for found in pattern.finditer(text) if begin in text else ():
            if _random(found[0].rpartition("/")[2].rpartition(":")[2]):
                yield Hit(WEBHOOK, view, view.line(found.start()), _masked(found[0]), confidence=Confidence.MEDIUM)
    for found in _IN_ADDRESS.finditer(text) if "://" in text and "@" in text else ():
        password, host = found.groups()
        if _ordinary_password(password, host):
            continue
        evidence = found[0].replace(password, "…")
        yield Hit(PASSWORD, view, view.line(found.start()), evidence, confidence=Confidence.MEDIUM)


def _keys(view: View) -> Iterator[Hit]:
    for found in _PEM.finditer(view.text):
        body = re.sub(r"\\n|\s|[A-Z][\w-]+:[^\n]*", "", found[2])
        if len(body) < 100 or _entropy(body) < 4.5 or _PLACEHOLDER.search(body[:40].replace("/", "")):
            continue
        try:
            base64.b64decode(body[: len(body) // 4 * 4], validate=True)
        except binascii.Error:
            continue
        yield Hit(PRIVATE_KEY, view, view.line(found.start()), f"-----BEGIN {found[1]}-----…")


def _ordinary_password(password: str, host: str) -> bool:
    """Placeholders, and what every local database of a tutorial has."""
    if host.startswith(("127.", "0.0.0.0")) or "." not in host:  # noqa: S104  # compared, not bound
        return True
    lowered = password.lower()
    if lowered in {"password", "passwd", "postgres", "secret", "admin", "root", "pass", "user"} or _PLACEHOLDER.search(
        password
    ):
        return True
    return "pass" in lowered or lowered.isalpha() or _entropy(password) < 2.5


def _masked(token: str) -> str:
    return f"{token[:8]}…"
