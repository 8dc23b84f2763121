"""Signed statements: the envelope of DSSE (https://github.com/secure-systems-lab/dsse, version 1) with Ed25519.

An envelope is JSON: ``payloadType``, ``payload`` (base64) and ``signatures`` of ``keyid`` and ``sig`` (base64). What is
signed is type and payload together, so that a statement of one sort is never taken for another.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from skillyard.governance.signing import PublicKey, SigningKey
from skillyard.marketplace_sync.errors import DocumentError

HEAD_TYPE = "application/vnd.skillyard.head+json"
STATEMENT_TYPE = "application/vnd.in-toto+json"
"""Of publishers' statements about versions (in-toto attestation framework, Statement v1)."""

MAX_ENVELOPE = 16 * 1024
_MOST_SIGNATURES = 8


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope that was read; nothing of it is believed before ``verified_by``."""

    payload_type: str
    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]
    """Key id and signature; a key id is a hint and proves nothing."""

    def verified_by(self, keys: Sequence[PublicKey]) -> PublicKey | None:
        """The first of the keys that one of the signatures is by."""
        message = pre_authentication(self.payload_type, self.payload)
        for key in keys:
            if any(key.signed(message, signature.hex()) for _, signature in self.signatures):
                return key
        return None


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """What is signed: PAE of the DSSE specification."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def sign(payload_type: str, payload: bytes, key: SigningKey) -> str:
    """The envelope as JSON text."""
    signature = bytes.fromhex(key.sign(pre_authentication(payload_type, payload)))
    envelope = {
        "payloadType": payload_type,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": key.id, "sig": base64.b64encode(signature).decode()}],
    }
    return orjson.dumps(envelope).decode()


def parse_envelope(text: str, payload_type: str) -> Envelope:
    """An envelope of this type. Raises ``DocumentError``."""
    if len(text) > MAX_ENVELOPE:
        raise DocumentError(f"an envelope of more than {MAX_ENVELOPE} characters")
    try:
        value = orjson.loads(text)
        if not isinstance(value, dict) or value.get("payloadType") != payload_type:
            raise DocumentError(f"no envelope of the type {payload_type}", field="payloadType")
        signatures = value["signatures"]
        if not isinstance(signatures, list) or not 1 <= len(signatures) <= _MOST_SIGNATURES:
            raise DocumentError("no signatures, or too many", field="signatures")
        read = tuple((str(one.get("keyid", "")), _bytes(one["sig"], "signatures")) for one in signatures)
        return Envelope(payload_type, _bytes(value["payload"], "payload"), read)
    except (KeyError, AttributeError, TypeError) as error:
        raise DocumentError("not an envelope: a field is missing or of another kind") from error
    except orjson.JSONDecodeError as error:
        raise DocumentError(f"an envelope that is not JSON: {error}") from error


def _bytes(text: object, field: str) -> bytes:
    if not isinstance(text, str):
        raise DocumentError("no base64 text", field=field)
    try:
        # The specification lets readers take either alphabet.
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DocumentError("no base64 text", field=field) from error
