"""The function that spares run on nothing, to touch the memory that a call will touch."""

from __future__ import annotations


def run(text: str, number: float, nothing: None) -> dict[str, object]:
    return {"text": text, "list": [1, number, nothing], "nested": {"a": f"{text}b"}}
