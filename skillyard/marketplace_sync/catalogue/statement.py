"""A publisher's signed statement about a version: which content, resolved to what, with which verdict.

An in-toto attestation (Statement v1, https://github.com/in-toto/attestation) in a DSSE envelope. The subject is the
bundle by its digest; lock and verdict are what the publisher saw, and whoever installs still looks for themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from skillyard.governance.signing import PublicKey, SigningKey
from skillyard.marketplace_sync.catalogue.envelope import STATEMENT_TYPE, parse_envelope, sign
from skillyard.marketplace_sync.errors import DocumentError

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:skillyard:version:1"


@dataclass(frozen=True, slots=True)
class Statement:
    """``version`` is ``publisher/name@version``; digests are ``sha256:`` and 64 hex digits."""

    version: str
    bundle: str
    lock: str
    verdict: str


def signed_statement(statement: Statement, key: SigningKey) -> str:
    """The envelope as JSON text: a version document's ``signature``."""
    payload = {
        "_type": STATEMENT,
        "subject": [{"name": statement.version, "digest": {"sha256": statement.bundle.removeprefix("sha256:")}}],
        "predicateType": PREDICATE,
        "predicate": {"lock": statement.lock, "verdict": statement.verdict},
    }
    return sign(STATEMENT_TYPE, orjson.dumps(payload, option=orjson.OPT_SORT_KEYS), key)


def read_statement(envelope: str, keys: Sequence[PublicKey]) -> tuple[Statement, PublicKey]:
    """What was stated, and by which of the keys. Raises ``DocumentError`` where it is none of theirs, or no
    statement."""
    read = parse_envelope(envelope, STATEMENT_TYPE)
    key = read.verified_by(keys)
    if key is None:
        raise DocumentError("not signed by a key of this publisher", field="signature")
    try:
        value = orjson.loads(read.payload)
        (subject,) = value["subject"]
        predicate = value["predicate"]
        kinds = value["_type"], value["predicateType"]
        texts = subject["name"], subject["digest"]["sha256"], predicate["lock"], predicate["verdict"]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise DocumentError("signed, but no statement about a version", field="signature") from error
    if kinds != (STATEMENT, PREDICATE) or not all(isinstance(one, str) for one in texts):
        raise DocumentError("signed, but no statement about a version", field="signature")
    name, sha256, lock, verdict = texts
    return Statement(name, f"sha256:{sha256}", lock, verdict), key
