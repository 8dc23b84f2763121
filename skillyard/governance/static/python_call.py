"""One call with what is known about it, and what it sends, asks and runs."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, replace
from typing import Final

from skillyard.governance.static.python_flow import Scope
from skillyard.governance.static.python_paths import is_metadata_service
from skillyard.governance.static.python_values import NOTHING, UNKNOWN, Tag, Value

AUTHORISING: Final = frozenset(
    {
        "authorization",
        "x-api-key",
        "api-key",
        "apikey",
        "private-token",
        "x-auth-token",
        "proxy-authorization",
        "x-goog-api-key",
        "x-figma-token",
        "job-token",
        "x-access-token",
        "x-github-token",
        "notion-token",
    }
)
_NOT_SENT: Final = frozenset(
    {"auth", "cert", "verify", "proxies", "proxy", "cookies", "timeout", "context", "ssl", "stream", "impersonate"}
)
_KEY_HEADER: Final = re.compile(r"^(?:x-)?(?:[\w]+-)?(?:api-?)?(?:key|token|secret)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Call:
    """A call, with all that is known about it."""

    node: ast.Call
    scope: Scope
    callee: Value
    base: Value
    method: str
    """The attribute that is called; empty for a plain name."""
    args: tuple[Value, ...]
    named: dict[str, Value]

    @property
    def symbol(self) -> str:
        return self.callee.symbol

    def arg(self, position: int, name: str) -> Value:
        """An argument by its position or its name."""
        return self.args[position] if len(self.args) > position else self.named.get(name, NOTHING)

    def root(self, position: int) -> str:
        """The variable from which an argument is made, if there is one."""
        node: ast.AST | None = self.node.args[position] if len(self.node.args) > position else None
        while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
            if isinstance(node, ast.Call):
                node = node.args[0] if node.args and not isinstance(node.func, ast.Attribute) else node.func
            else:
                node = node.value
        return node.id if isinstance(node, ast.Name) else ""

    @property
    def base_root(self) -> str:
        node: ast.AST = self.node.func
        while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
            node = node.func if isinstance(node, ast.Call) else node.value
        return node.id if isinstance(node, ast.Name) else ""


def outgoing(call: Call) -> tuple[tuple[Value, ...], frozenset[Tag]]:
    """What a call sends, without what authorises it; and the marks of the latter."""
    if (
        call.method in {"add_header", "putheader"}
        and call.arg(0, "").text
        and str(call.arg(0, "").text).lower() in AUTHORISING
    ):
        return (), call.arg(1, "").everything().tags
    used: set[Tag] = set()
    sent = []
    for value in (*call.args, *(one for name, one in call.named.items() if name not in _NOT_SENT)):
        kept = [(name, one) for name, one in value.fields if name.lower() not in AUTHORISING]
        for name, one in value.fields:
            if name.lower() in AUTHORISING:
                used |= one.everything().tags
        kept = [(name, _own_key(one) if _KEY_HEADER.search(name) else one) for name, one in kept]
        sent.append(replace(value, fields=tuple(kept)) if value.fields else value)
    return tuple(sent), frozenset(used)


def _own_key(value: Value) -> Value:
    """A key out of the skill's own ``.env``, in the header that its service asks for, is what such a file is for."""
    return value.without(Tag.GENERIC)


def addresses(call: Call) -> frozenset[str]:
    """The addresses that a call names, as texts; ``UNKNOWN`` where there is one that is not known."""
    values = (*call.args[:2], call.named.get("url", NOTHING), call.named.get("host", NOTHING))
    found = {text for value in values for text in value.texts if "://" in text}
    if not found:
        hosts = [one for value in call.args[:2] for one in ((value.items or ()) if value.items else (value,))]
        found = {text for value in hosts for text in value.texts if _is_host(text)}
    for value in call.args[:2]:
        found |= value.urls
    return frozenset(found | call.base.urls)


def _is_host(text: str) -> bool:
    return (
        "." in text
        and len(text) < 200
        and "/" not in text
        and " " not in text
        and not text.startswith(".")
        and text[-1:].isalnum()
    )


def received(call: Call) -> Value:
    """What the network answers."""
    urls = addresses(call)
    tags = {Tag.NETWORK}
    if any(is_metadata_service(url) for url in urls):
        tags.add(Tag.VENDOR)
    if call.base.symbol.endswith("web.Request()"):
        tags = {Tag.REQUEST}
    return Value(tags=frozenset(tags), urls=urls, symbol=f"{call.symbol}()" if call.symbol else "")


def command_text(call: Call) -> tuple[str, ...]:
    """The command lines of a call that runs programs; what is not known stands as ``UNKNOWN``."""
    first = call.arg(0, "args")
    if call.symbol.startswith(("os.exec", "os.spawn", "asyncio.create_subprocess_exec")) and len(call.args) > 1:
        rest = call.args[1:]
        items = tuple(one for value in rest for one in (value.items or (value,)))
        return (" ".join((value.texts or (UNKNOWN,))[0] for value in (first, *items)),)
    if first.items is not None:
        return (" ".join(_quoted((value.texts or (UNKNOWN,))[0]) for value in first.items[:64]),)
    return first.texts


def _quoted(word: str) -> str:
    return f"'{word}'" if " " in word and "'" not in word else word
