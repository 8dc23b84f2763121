"""Expressions of Python, as what is known about their values."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from skillyard.governance.static.python_flow import Flow, Scope
from skillyard.governance.static.python_names import SECRET_VARIABLE
from skillyard.governance.static.python_values import (
    NOTHING,
    UNKNOWN,
    Tag,
    Value,
    concatenated,
    element,
    joined,
    known,
    mixed,
)

_MOST_ELEMENTS: Final = 4000
_BUILTINS: Final = frozenset(
    """
    exec eval compile open __import__ getattr setattr globals locals vars input print bytes bytearray str int chr ord
    map filter list tuple set dict sorted reversed zip enumerate next iter sum max min any all breakpoint type repr
    execfile raw_input memoryview format hex
""".split()
)
_NAMESPACES: Final = frozenset({"builtins", "os", "subprocess", "posix", "importlib", "socket", "sys"})
_HOMES: Final = frozenset({"HOME", "USERPROFILE", "HOMEPATH"})
_FOLDERS: Final = {"APPDATA": "~/AppData/Roaming", "LOCALAPPDATA": "~/AppData/Local", "XDG_CONFIG_HOME": "~/.config"}


class Expressions:
    """``call`` is what knows functions (``python_calls``)."""

    def __init__(self, call: Callable[[Flow, ast.Call, Scope], Value]) -> None:
        self._call = call

    def __call__(self, flow: Flow, node: ast.expr, scope: Scope) -> Value:  # noqa: C901, PLR0911, PLR0912 - one case an expression
        match node:
            case ast.Constant():
                return _constant(node.value)
            case ast.Name():
                return _name(node.id, scope)
            case ast.Attribute():
                return self._attribute(flow, node, scope)
            case ast.Call():
                return self._call(flow, node, scope)
            case ast.BinOp():
                return _operations(flow, node, scope)
            case ast.JoinedStr():
                return concatenated(self._pieces(flow, node, scope))
            case ast.FormattedValue():
                return flow.value(node.value, scope)
            case ast.Subscript():
                return self._subscript(flow, node, scope)
            case ast.List() | ast.Tuple() | ast.Set():
                return _list(flow, node, scope)
            case ast.Dict():
                return _dict(flow, node, scope)
            case ast.IfExp():
                flow.value(node.test, scope)
                return joined((flow.value(node.body, scope), flow.value(node.orelse, scope)))
            case ast.BoolOp():
                return joined([flow.value(one, scope) for one in node.values])
            case ast.NamedExpr():
                value = flow.value(node.value, scope)
                flow.assign(node.target, value, scope)
                return value
            case ast.Lambda():
                return Value(function=node)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
                return _comprehension(flow, node.generators, (node.elt,), scope)
            case ast.DictComp():
                return _comprehension(flow, node.generators, (node.key, node.value), scope)
            case ast.Await():
                return flow.value(node.value, scope)
            case ast.Yield() | ast.YieldFrom():
                value = flow.value(node.value, scope)
                scope.returned.append(value if isinstance(node, ast.YieldFrom) else Value(items=(value,)))
                return NOTHING
            case ast.Starred():
                return element(flow.value(node.value, scope))
            case ast.UnaryOp():
                return flow.value(node.operand, scope)
            case ast.Compare():
                for one in (node.left, *node.comparators):
                    flow.value(one, scope)
                return NOTHING
            case ast.Slice():
                return NOTHING
        return NOTHING

    def _pieces(self, flow: Flow, node: ast.JoinedStr, scope: Scope) -> list[Value]:
        return [flow.value(one.value if isinstance(one, ast.FormattedValue) else one, scope) for one in node.values]

    def _attribute(self, flow: Flow, node: ast.Attribute, scope: Scope) -> Value:
        return attribute(flow, flow.value(node.value, scope), node.attr, scope)

    def _subscript(self, flow: Flow, node: ast.Subscript, scope: Scope) -> Value:
        base = flow.value(node.value, scope)
        if isinstance(node.slice, ast.Slice):
            step = node.slice.step
            backwards = isinstance(step, ast.UnaryOp) and isinstance(step.op, ast.USub) and node.slice.lower is None
            if backwards:
                return replace(base, texts=tuple(text[::-1] for text in base.texts), assembled=True)
            return replace(base, texts=tuple(UNKNOWN for _ in base.texts[:1]), items=None)
        key = flow.value(node.slice, scope)
        if base.symbol == "os.environ":
            return variable(key)
        return item(base, key)


def attribute(flow: Flow, base: Value, name: str, scope: Scope) -> Value:
    """What an object has under a name: of the skill's own modules and classes, of known modules, of anything else."""
    own = flow.own_module(base.symbol)
    if own is not None:
        return own.names.get(name, NOTHING)
    if base.symbol.startswith("class:") and (held := base.field(name)) is not None:
        return held
    if base.symbol and not base.symbol.startswith(("class:", "file:")):
        return _of_symbol(base, name)
    if base.texts and name in {"parent", "parents"}:
        return replace(base, texts=tuple(_parent(text) for text in base.texts), symbol="")
    kept = scope.module.attributes.get(name)
    if kept is not None:
        return replace(kept, tags=kept.tags | base.tags)
    return Value(tags=base.tags, variables=base.variables, urls=base.urls, roots=base.roots)


def item(base: Value, key: Value) -> Value:
    """What a container holds under a key."""
    if base.symbol == "sys.modules" and key.text:
        return Value(symbol=key.text, assembled=key.assembled)
    if base.symbol in _NAMESPACES and key.text and key.text.isidentifier():
        return Value(symbol=f"{base.symbol}.{key.text}", assembled=key.assembled)
    if key.text is not None and (held := base.field(key.text)) is not None:
        return held
    if base.items is not None:
        if key.text is not None and key.text.lstrip("-").isdigit() and base.items:
            return base.items[min(int(key.text), len(base.items) - 1) if int(key.text) >= 0 else -1]
        return element(base)
    tags = base.tags
    if key.text is not None and not key.text.lstrip("-").isdigit():
        # A client that picks the one field it needs from a file of its own is no collector.
        tags = tags - {Tag.GENERIC, Tag.ENVIRONMENT}
    if base.fields:
        return replace(joined([value for _, value in base.fields]), tags=tags)
    return Value(tags=tags, variables=base.variables, urls=base.urls)


def variable(key: Value) -> Value:
    """The value of an environment variable."""
    names = frozenset(text for text in key.texts if UNKNOWN not in text)
    if names and names <= _HOMES:
        return known("~")
    if len(names) == 1 and (folder := _FOLDERS.get(next(iter(names)))) is not None:
        return known(folder)
    if names:
        return Value(variables=names)
    # A name that is not known: one variable, or any of them, in a loop over all.
    return Value(tags=key.tags & {Tag.ENVIRONMENT})


def _constant(value: object) -> Value:
    if isinstance(value, str):
        return known(value)
    if isinstance(value, bytes):
        return known(value.decode("utf-8", "replace") if b"\0" not in value else value.decode("latin-1"))
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**12:
        return known(str(value))
    return NOTHING


def _name(name: str, scope: Scope) -> Value:
    found = scope.find(name)
    if found is not None:
        return found
    if name == "__file__":
        return Value(texts=("<skill>/code.py",), tags=frozenset({Tag.SELF}))
    if name in {"__builtins__", "builtins"}:
        return Value(symbol="builtins")
    return Value(symbol=f"builtins.{name}") if name in _BUILTINS else NOTHING


def _of_symbol(base: Value, name: str) -> Value:
    symbol = f"{base.symbol}.{name}"
    if symbol in {"os.environ", "os.environb"}:
        return Value(symbol="os.environ", tags=frozenset({Tag.ENVIRONMENT}))
    if symbol == "sys.argv":
        return Value(symbol=symbol, tags=frozenset({Tag.USER}))
    if symbol == "sys.executable":
        return known("python")
    if base.symbol in {"os", "pathlib"} and name in {"sep", "linesep", "extsep"}:
        return known("/" if name == "sep" else "\n" if name == "linesep" else ".")
    if name == "__dict__":
        return base
    texts = tuple(_parent(text) for text in base.texts) if name in {"parent", "parents"} else ()
    if name in {"parent", "parents"} and base.texts:
        return replace(base, texts=texts, symbol="")
    return Value(
        symbol=symbol,
        tags=base.tags,
        variables=base.variables,
        urls=base.urls,
        roots=base.roots,
        assembled=base.assembled,
    )


def _parent(text: str) -> str:
    return text.rstrip("/\\").rpartition("/")[0] or ("~" if text == "~" else "/" if text.startswith("/") else "")


def _operations(flow: Flow, node: ast.BinOp, scope: Scope) -> Value:
    """A chain of operators, left to right: long sums are ordinary, and are as deep as they are long."""
    chain = [node]
    while isinstance(chain[-1].left, ast.BinOp):
        chain.append(chain[-1].left)
    value = flow.value(chain[-1].left, scope)
    for one in reversed(chain):
        value = _operation(one, value, flow.value(one.right, scope))
    return value


def _operation(node: ast.BinOp, left: Value, right: Value) -> Value:  # noqa: PLR0911 - one case an operator
    match node.op:
        case ast.Add():
            if left.items is not None and right.items is not None:
                return Value(items=(left.items + right.items)[:_MOST_ELEMENTS], tags=left.tags | right.tags)
            if left.items is not None or right.items is not None:
                return replace(mixed((left, right)), items=left.items or right.items)
            return concatenated((left, right))
        case ast.Div():
            if left.texts or right.texts or left.symbol:
                return replace(concatenated((left, right), "/"), assembled=False)
            return mixed((left, right))
        case ast.Mod():
            return _formatted(left, right)
        case ast.BitXor():
            made = _computed(node.op, left, right) or mixed((left, right))
            return made.tagged(Tag.DECODED) if _is_ciphered(left, right) else made
        case ast.BitOr() if left.fields or right.fields:
            return Value(fields=(*left.fields, *right.fields), tags=left.tags | right.tags)
    return mixed((left, right)) if (number := _computed(node.op, left, right)) is None else number


def _computed(op: ast.operator, left: Value, right: Value) -> Value | None:
    """Small whole numbers, as they occur where letters are computed."""
    if left.text is None or right.text is None or len(left.text) > 9 or len(right.text) > 9:
        return None
    if not (left.text.lstrip("-").isdecimal() and right.text.lstrip("-").isdecimal()):
        return None
    a, b = int(left.text), int(right.text)
    match op:
        case ast.BitXor():
            number = a ^ b
        case ast.Sub():
            number = a - b
        case ast.Mult():
            number = a * b
        case ast.Mod() if b:
            number = a % b
        case ast.FloorDiv() if b:
            number = a // b
        case _:
            return None
    return replace(mixed((left, right)), texts=(str(number),), assembled=True)


def _is_ciphered(left: Value, right: Value) -> bool:
    return bool((left.tags | right.tags) & {Tag.DECODED, Tag.SKILL_DATA, Tag.NETWORK}) or bool(
        left.texts or right.texts
    )


def _formatted(left: Value, right: Value) -> Value:
    made = mixed((left, right))
    texts = []
    values = right.items if right.items is not None else (right,)
    for text in left.texts:
        pieces = text.split("%s")
        filled = pieces[0]
        for number, piece in enumerate(pieces[1:]):
            chosen = values[number].texts[:1] if number < len(values) else ()
            filled += (chosen[0] if chosen else UNKNOWN) + piece
        texts.append(filled)
    return replace(
        made, texts=tuple(texts), assembled=left.assembled, open_start=any(t.startswith(UNKNOWN) for t in texts)
    )


def _list(flow: Flow, node: ast.List | ast.Tuple | ast.Set, scope: Scope) -> Value:
    items: list[Value] = []
    for one in node.elts[:_MOST_ELEMENTS]:
        if isinstance(one, ast.Starred):
            inner = flow.value(one.value, scope)
            items.extend(inner.items if inner.items is not None else [element(inner)])
        else:
            items.append(flow.value(one, scope))
    return Value(items=tuple(items[:_MOST_ELEMENTS]))


def _dict(flow: Flow, node: ast.Dict, scope: Scope) -> Value:
    fields: list[tuple[str, Value]] = []
    spread: list[Value] = []
    for key, held in zip(node.keys, node.values, strict=True):
        value = flow.value(held, scope)
        if key is None:
            spread.append(value)
            fields.extend(value.fields)
            continue
        name = flow.value(key, scope)
        fields.append((name.texts[0] if name.texts else UNKNOWN, value))
    rest = mixed(spread) if spread else NOTHING
    return replace(rest, fields=tuple(fields[:_MOST_ELEMENTS]))


def _comprehension(flow: Flow, generators: list[ast.comprehension], parts: tuple[ast.expr, ...], scope: Scope) -> Value:
    inner = Scope(scope.module, {}, parent=scope, depth=scope.depth, loops=scope.loops + 1, function=scope.function)
    chosen = False
    for generator in generators:
        flow.assign(generator.target, element(flow.value(generator.iter, inner)), inner)
        for test in generator.ifs:
            flow.value(test, inner)
            flow.narrow(test, inner)
            chosen = chosen or _is_own_prefix(flow, test, inner)
    made = [flow.value(part, inner) for part in parts]
    result = mixed(made)
    if len(parts) == 1 and made[0].texts:
        result = replace(result, items=(made[0],), assembled=made[0].assembled)
    return result.without(Tag.ENVIRONMENT) if chosen else result


def _is_own_prefix(flow: Flow, test: ast.expr, scope: Scope) -> bool:
    """Whether a test takes only names that begin as the skill's own do (``MYAPP_``), or that it lists one by one."""
    match test:
        case ast.Call(func=ast.Attribute(attr="startswith"), args=[prefix, *_]):
            texts = flow.value(prefix, scope).texts
            return bool(texts) and all(
                len(text) > 2 and text.upper() not in {"AWS", "AWS_", "GITHUB_", "OPENAI_"} for text in texts
            )
        case ast.Compare(ops=[ast.In()], comparators=[listed]):
            value = flow.value(listed, scope)
            names = [text for one in value.items or () for text in one.texts]
            return value.items is not None and sum(SECRET_VARIABLE.search(name) is not None for name in names) < 3
    return False
