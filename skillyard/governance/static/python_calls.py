"""What calls give: the skill's own functions are followed, those of known modules are modelled."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from skillyard.governance.static import python_names as names
from skillyard.governance.static.python_call import Call, command_text, outgoing, received
from skillyard.governance.static.python_expressions import attribute, item, variable
from skillyard.governance.static.python_flow import Flow, Scope
from skillyard.governance.static.python_paths import secrets_at
from skillyard.governance.static.python_text import bytes_of, character, decoded, filled, joined_text, stripped
from skillyard.governance.static.python_values import (
    NOTHING,
    Tag,
    Value,
    concatenated,
    element,
    known,
    mixed,
)

_SAME: Final = frozenset(
    """
    os.path.expanduser os.path.abspath os.path.realpath os.path.normpath os.path.expandvars os.fspath os.fsdecode
    os.fsencode builtins.str builtins.bytes builtins.bytearray builtins.compile builtins.iter builtins.memoryview
    builtins.repr functools.partial codecs.encode copy.copy copy.deepcopy io.BytesIO io.StringIO textwrap.dedent
    builtins.list builtins.tuple builtins.set builtins.sorted builtins.dict builtins.reversed shlex.quote
""".split()
)
_SAME_METHODS: Final = frozenset(
    """
    encode decode strip lstrip rstrip lower upper expanduser resolve absolute as_posix casefold title copy strip()
    tobytes getvalue removeprefix removesuffix splitlines __str__ expandtabs with_segments
""".split()
)
_JOINING: Final = frozenset(
    {"os.path.join", "pathlib.Path", "pathlib.PurePath", "pathlib.PosixPath", "posixpath.join", "ntpath.join"}
)
_NOTHING_LEFT: Final = frozenset(
    """
    builtins.len builtins.int builtins.float builtins.bool builtins.isinstance builtins.id builtins.hash
    os.path.exists os.path.isfile os.path.isdir os.path.getsize os.path.getmtime os.stat os.access
""".split()
)
_OPENING: Final = frozenset(
    {
        "builtins.open",
        "io.open",
        "codecs.open",
        "gzip.open",
        "bz2.open",
        "lzma.open",
        "aiofiles.open",
        "os.open",
        "builtins.file",
    }
)
_WRAPPING: Final = frozenset(
    {
        "tarfile.open",
        "zipfile.ZipFile",
        "io.TextIOWrapper",
        "io.BufferedWriter",
        "csv.writer",
        "csv.DictWriter",
        "gzip.GzipFile",
        "sqlite3.connect",
    }
)
_DECODERS: Final = frozenset(
    {"b64decode", "b32decode", "b85decode", "a85decode", "urlsafe_b64decode", "unhexlify", "a2b_hex", "a2b_base64"}
)
"""Names that decode whatever module they were got from, however that was imported."""
_READING: Final = frozenset({"read", "readline", "readlines", "read1", "readall"})
_PUTTING: Final = frozenset(
    {
        "append",
        "extend",
        "add",
        "update",
        "insert",
        "write",
        "writelines",
        "writestr",
        "put",
        "push",
        "setdefault",
        "writerow",
        "writerows",
        "addfile",
        "appendleft",
        "__setitem__",
        "put_nowait",
        "attach",
    }
)


class Calls:
    """``seen`` is told of every call, before its value is known (``python_sinks``)."""

    def __init__(self, *, files: frozenset[str], seen: Callable[[Flow, Call], None]) -> None:
        self._files = files
        self._seen = seen

    def __call__(self, flow: Flow, node: ast.Call, scope: Scope) -> Value:
        call = self._call(flow, node, scope)
        self._seen(flow, call)
        if call.callee.function is not None:
            depth = scope.depth + 1
            given = flow.call(call.callee.function, call.args, call.named, depth=depth, outer=scope)
            return given if given is not None else mixed(call.args)
        self._callbacks(flow, call)
        if call.symbol.startswith("class:"):
            return self._instance(flow, call)
        if call.symbol and not call.symbol.startswith("file:"):
            return self._of_symbol(flow, call)
        return self._of_method(flow, call)

    def _call(self, flow: Flow, node: ast.Call, scope: Scope) -> Call:
        base, method = NOTHING, ""
        if isinstance(node.func, ast.Attribute):
            base, method = flow.value(node.func.value, scope), node.func.attr
            callee = attribute(flow, base, method, scope)
            if base.symbol.startswith("file:"):
                callee = NOTHING
        else:
            callee = flow.value(node.func, scope)
        args: list[Value] = []
        for one in node.args:
            if isinstance(one, ast.Starred):
                inner = flow.value(one.value, scope)
                args.extend(inner.items if inner.items is not None else [element(inner)])
            else:
                args.append(flow.value(one, scope))
        named: dict[str, Value] = {}
        for keyword in node.keywords:
            value = flow.value(keyword.value, scope)
            if keyword.arg is None:
                named.update(value.fields)
            else:
                named[keyword.arg] = value
        return Call(node, scope, callee, base, method, tuple(args), named)

    def _callbacks(self, flow: Flow, call: Call) -> None:
        """Functions that are handed on are called by somebody: a thread, ``map``, an exit handler."""
        if call.symbol == "builtins.map" and len(call.args) > 1 and call.args[0].symbol:
            self._seen(flow, replace(call, callee=call.args[0], args=(element(call.args[1]),)))
        for value in (*call.args, *call.named.values()):
            if value.function is not None:
                given = call.named.get("args")
                rest = given.items or () if given is not None else ()
                if not rest and len(call.args) > 1 and call.args[0] is value:
                    mapped = call.symbol in {"builtins.map", "builtins.filter"} or call.method in {"map", "starmap"}
                    rest = (element(call.args[1]),) if mapped else call.args[1:]
                flow.call(value.function, tuple(rest), {}, depth=call.scope.depth + 1, outer=call.scope)

    def _instance(self, flow: Flow, call: Call) -> Value:
        start = call.callee.field("__init__")
        if start is not None and start.function is not None:
            flow.call(start.function, (NOTHING, *call.args), call.named, depth=call.scope.depth + 1)
        return replace(call.callee, tags=call.callee.tags | mixed((*call.args, *call.named.values())).tags)

    def _of_symbol(self, flow: Flow, call: Call) -> Value:  # noqa: C901, PLR0911, PLR0912 - one case a family of functions
        symbol = call.symbol
        first = call.arg(0, "path")
        if symbol in _NOTHING_LEFT or symbol.startswith(("hashlib.", "hmac.")):
            return NOTHING
        if symbol in _SAME:
            return (
                bytes_of(first)
                if symbol in {"builtins.bytes", "builtins.bytearray"} and first.items
                else replace(
                    first, roots=first.roots | ({call.root(0)} - {""}) if symbol.startswith("io.") else first.roots
                )
            )
        if symbol in _JOINING:
            return replace(concatenated(_rooted(call.args), "/"), assembled=False, symbol="")
        if symbol in {"glob.glob", "glob.iglob"}:
            return Value(items=(first,))
        if symbol == "pathlib.Path.home":
            return known("~")
        if symbol in {"os.getenv", "os.environ.get", "os.environ.pop", "os.environ.setdefault", "os.getenvb"}:
            return variable(call.arg(0, "key"))
        if symbol.startswith("os.environ."):
            return Value(tags=call.base.tags)
        if symbol in _OPENING:
            return self._opened(flow, call, first, call.arg(1, "mode"))
        if symbol in _WRAPPING:
            roots = {call.root(0), *_names_of(call.node)} - {""}
            made = mixed((*call.args, *call.named.values()))
            if symbol == "sqlite3.connect":
                made = made.tagged(*self._content(flow, first))
            return replace(made, symbol="", texts=first.texts, roots=frozenset(roots))
        if symbol in {"builtins.getattr", "operator.attrgetter"}:
            return self._got(flow, call)
        if symbol in {"builtins.__import__", "importlib.import_module"}:
            name = first.text or ""
            return Value(symbol=name, assembled=first.assembled) if name else Value(tags=first.tags)
        if symbol in {"builtins.globals", "builtins.locals"} or (symbol == "builtins.vars" and not call.args):
            return Value(symbol="builtins")
        if symbol == "builtins.vars":
            return first
        if symbol == "builtins.chr":
            return character(first)
        if symbol == "builtins.ord":
            return known(str(ord(first.text))) if first.text and len(first.text) == 1 else mixed(call.args)
        if symbol == "builtins.map" and first.symbol == "builtins.chr":
            items = call.arg(1, "").items
            spelled = Value(items=tuple(character(one) for one in items)) if items else mixed(call.args)
            return spelled.tagged(Tag.DECODED)
        if symbol == "builtins.next":
            return element(first)
        if symbol in {"builtins.enumerate", "builtins.zip"}:
            numbered = (NOTHING, element(first)) if symbol == "builtins.enumerate" else tuple(map(element, call.args))
            return replace(mixed(call.args), items=(Value(items=numbered),))
        if names.is_decoding(symbol):
            return decoded(symbol, call)
        if names.is_loading(symbol):
            tag = (Tag.MARSHALLED,) if symbol.startswith("marshal.") else ()
            return mixed(call.args).tagged(*tag)
        if (source := names.source_of(symbol)) is not None:
            return Value(symbol=f"{symbol}()", tags=frozenset({source}) | call.base.tags)
        if names.is_receiving(symbol):
            return received(call)
        if names.is_command(symbol):
            return self._commanded(call)
        made = mixed((call.base, *call.args, *call.named.values()))
        if symbol.endswith((".Request", ".Session", ".Client", ".AsyncClient", ".HTTPConnection", ".HTTPSConnection")):
            made = mixed(outgoing(call)[0])
        return replace(made, symbol=f"{symbol}()", roots=frozenset())

    def _got(self, flow: Flow, call: Call) -> Value:
        target, name = call.arg(0, ""), call.arg(1, "")
        if name.text:
            found = attribute(flow, target, name.text, call.scope)
            return replace(found, assembled=name.assembled)
        return Value(tags=target.tags | name.tags)

    def _opened(self, flow: Flow, call: Call, path: Value, mode: Value, base_root: str = "") -> Value:
        roots = frozenset({base_root or call.root(0)} - {""})
        written = any(text[:1] in set("wax") or "+" in text for text in mode.texts)
        if written:
            return Value(symbol="file:w", texts=path.texts, roots=roots, urls=path.urls, tags=path.tags & {Tag.SELF})
        return Value(symbol="file:r", texts=path.texts, tags=self._content(flow, path), urls=path.urls, roots=roots)

    def _content(self, flow: Flow, path: Value) -> frozenset[Tag]:
        tags = set(path.tags)
        for text in path.texts:
            tags |= secrets_at(text)
            if (kept := flow.program.written.get(text)) is not None:
                tags |= kept.tags
            name = text.rpartition("/")[2]
            if name in self._files and not name.endswith(".py"):
                tags.add(Tag.SKILL_DATA)
        if Tag.DOWNLOADED in tags:
            tags.add(Tag.NETWORK)
        return frozenset(tags) - {Tag.SELF}

    def _commanded(self, call: Call) -> Value:
        command = command_text(call)
        tags = set(mixed(call.args).tags - {Tag.USER})
        urls: frozenset[str] = frozenset()
        for text in command:
            tags |= secrets_at(text) if text.split()[:1] in (["cat"], ["type"], ["head"], ["tail"], ["less"]) else set()
            if names.SECRET_COMMAND.search(text):
                tags.add(Tag.ENVIRONMENT if text.split()[0] in {"env", "printenv", "set"} else Tag.VENDOR)
            if text.split()[:1] in (["curl"], ["wget"]):
                tags.add(Tag.NETWORK)
                urls |= {word.strip("'\"") for word in text.split() if "://" in word}
            if any(word in text for word in ("pbpaste", "xclip -o", "xsel -b", "Get-Clipboard", "wl-paste")):
                tags.add(Tag.CLIPBOARD)
        return Value(tags=frozenset(tags), urls=urls, symbol=f"{call.symbol}()")

    def _of_method(self, flow: Flow, call: Call) -> Value:  # noqa: C901, PLR0911, PLR0912 - one case a method
        base, method = call.base, call.method
        if method in _PUTTING and call.args and isinstance(call.node.func, ast.Attribute):
            put = mixed((*call.args, *call.named.values()))
            if method in {"write", "add"} and base.roots and not base.symbol:
                # Into an archive, a file goes by its path.
                put = put.tagged(*self._content(flow, call.args[0]))
            flow.taint(call.node.func.value, put, call.scope)
        if base.symbol.startswith("file:") and method in _READING:
            return Value(tags=base.tags, urls=base.urls)
        if method in {"read_text", "read_bytes"}:
            return Value(tags=self._content(flow, base), urls=base.urls)
        if method == "open" and (base.texts or base.tags):
            return self._opened(flow, call, base, call.arg(0, "mode"), call.base_root)
        if method in {"joinpath", "with_name", "with_suffix"}:
            return replace(concatenated((base, *call.args), "/"), assembled=False)
        if method in {"glob", "rglob", "iterdir"}:
            pattern = call.arg(0, "pattern")
            return Value(items=(concatenated((base, pattern if pattern.texts else known("*")), "/"),))
        if method in _SAME_METHODS:
            if method == "decode" and call.arg(0, "encoding").text in {"rot13", "rot_13", "hex", "base64", "zlib"}:
                return decoded("codecs.decode", replace(call, args=(base, *call.args)))
            return replace(base, symbol="", texts=stripped(base.texts, method, call.arg(0, "").text), items=base.items)
        if method == "join":
            return joined_text(flow, call)
        if method == "replace" and len(call.args) == 2:
            old, new = call.args[0].text, call.args[1].text
            if old is not None and new is not None and old:
                return replace(base, texts=tuple(text.replace(old, new) for text in base.texts), assembled=True)
        if (
            method in {"get", "pop", "setdefault"}
            and call.args
            and (base.fields or base.items is not None or base.tags)
        ):
            return item(base, call.args[0])
        if method == "format":
            return filled(base, call)
        if method in {"exists", "is_file", "is_dir", "stat", "startswith", "endswith", "count", "find", "index"}:
            return NOTHING
        if method == "hex":
            return Value(tags=base.tags, variables=base.variables)
        if not base.symbol and method in _DECODERS:
            return mixed((base, *call.args)).tagged(Tag.DECODED)
        if names.is_sending_method(method) or (method in {"get", "request", "head"} and _names_address(call)):
            return replace(received(call), tags=frozenset({Tag.NETWORK}) | (base.tags & {Tag.NETWORK}))
        if method in {"values", "items", "keys"} and base.fields:
            return Value(items=tuple(value for _, value in base.fields), tags=base.tags)
        return mixed((base, *call.args, *call.named.values()))


def _names_address(call: Call) -> bool:
    return any("://" in text for value in call.args[:2] for text in value.texts)


def _rooted(parts: tuple[Value, ...]) -> tuple[Value, ...]:
    """An absolute part drops what comes before it."""
    for position in range(len(parts) - 1, 0, -1):
        if parts[position].text is not None and str(parts[position].text).startswith("/"):
            return parts[position:]
    return parts


def _names_of(node: ast.Call) -> set[str]:
    values = [*node.args, *(keyword.value for keyword in node.keywords)]
    return {value.id for value in values if isinstance(value, ast.Name)}
