"""The function that spares run on nothing, to touch the memory that a call will touch."""

from __future__ import annotations


def run(text: str) -> dict[str, object]:
    return {"text": text, "list": [1, 2.5, None], "nested": {"a": f"{text}b"}}
