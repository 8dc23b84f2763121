"""Where values of a skill's Python come from and where they go: a small interpreter of what is known about values.

How it works, and what it cannot see. Every module of the skill is run once in this interpreter, and every function that
nothing called as well. Statements are followed in order; both branches of an ``if`` are, and what they assign is
joined; a loop is followed twice. Calls of the skill's own functions are followed into the function with what is known
about the arguments, five deep, across modules; each pair of function and arguments once. Attributes are kept by their
name alone, for all objects of a module. A container has the marks of all that was put into it. Nothing is executed:
of the values only texts are computed, and only by joining, decoding and replacing.

It sees no inheritance, no decorators, no values that pass through files by computed names, and nothing that happens in
C. It is bounded by steps: beyond them calls are not followed any more, but every function is still looked at by itself.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from skillyard.governance.static.python_source import Source
from skillyard.governance.static.python_values import NOTHING, Value, element, joined
from skillyard.governance.static.view import View

MOST_STEPS: Final = 150_000
_DEEPEST: Final = 5

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(slots=True, eq=False)
class Module:
    """One Python text of the skill, and what its names are."""

    view: View
    source: Source
    names: dict[str, Value] = field(default_factory=dict)
    attributes: dict[str, Value] = field(default_factory=dict)
    state: int = 0
    """0 not yet run, 1 being run, 2 run."""


@dataclass(slots=True, eq=False)
class Scope:
    """The names of a function that is being run, or of a module. ``returned`` collects what it gives back."""

    module: Module
    names: dict[str, Value]
    parent: Scope | None = None
    globals_: set[str] = field(default_factory=set)
    returned: list[Value] = field(default_factory=list)
    loops: int = 0
    depth: int = 0
    function: str = ""
    guarded: int = 0

    def find(self, name: str) -> Value | None:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.parent
        return self.module.names.get(name)

    def set(self, name: str, value: Value) -> None:
        if name in self.globals_ or self.names is self.module.names:
            self.module.names[name] = value
        else:
            self.names[name] = value


@dataclass(slots=True, eq=False)
class Program:
    """The modules of a skill by the names they can be imported by, and what all of them share."""

    modules: tuple[Module, ...]
    by_name: dict[str, Module] = field(default_factory=dict)
    owner: dict[int, Module] = field(default_factory=dict)
    called: set[int] = field(default_factory=set)
    written: dict[str, Value] = field(default_factory=dict)
    """What was written to a file, by the file's path where that is known."""

    @classmethod
    def of(cls, modules: Iterable[Module]) -> Program:
        program = cls(tuple(modules))
        for module in program.modules:
            parts = module.view.file.removesuffix(".py").removesuffix("/__init__").split("/")
            for start in range(len(parts)):
                program.by_name.setdefault(".".join(parts[start:]), module)
            program.owner.update((id(node), module) for node in module.source.functions)
        return program


class Flow:
    """Runs the statements of a program. ``evaluate`` knows expressions and calls (``python_expressions``)."""

    def __init__(self, program: Program, evaluate: Callable[[Flow, ast.expr, Scope], Value]) -> None:
        self.program = program
        self._evaluate = evaluate
        self._steps = MOST_STEPS
        self._memo: dict[object, Value] = {}
        self._running: set[int] = set()

    def run(self) -> None:
        for module in self.program.modules:
            self.run_module(module)
        for module in self.program.modules:
            for node in module.source.functions:
                if not isinstance(node, ast.Lambda) and id(node) not in self.program.called:
                    self.call(node, (), {}, depth=0)

    def run_module(self, module: Module) -> None:
        if module.state == 0:
            module.state = 1
            self.block(module.source.tree.body, Scope(module, module.names))
            module.state = 2

    def value(self, node: ast.expr | None, scope: Scope) -> Value:
        if node is None:
            return NOTHING
        self._steps -= 1
        return self._evaluate(self, node, scope)

    def call(
        self,
        function: Function,
        arguments: tuple[Value, ...],
        named: dict[str, Value],
        *,
        depth: int,
        outer: Scope | None = None,
    ) -> Value | None:
        """What one of the skill's own functions gives for these arguments; ``None`` where it is not followed."""
        if depth > _DEEPEST or id(function) in self._running or (self._steps <= 0 and depth):
            return None
        key = (id(function), arguments, tuple(sorted(named.items(), key=lambda one: one[0])))
        if key in self._memo:
            return self._memo[key]
        self.program.called.add(id(function))
        module = self.program.owner[id(function)]
        names = _bound(function, arguments, named)
        scope = Scope(
            module, names, parent=outer if outer is not None and outer.module is module else None, depth=depth
        )
        self._running.add(id(function))
        try:
            if isinstance(function, ast.Lambda):
                scope.returned.append(self.value(function.body, scope))
            else:
                scope.function = function.name
                self.block(function.body, scope)
        finally:
            self._running.discard(id(function))
        self._memo[key] = result = joined(scope.returned)
        return result

    def block(self, body: Iterable[ast.stmt], scope: Scope) -> None:
        for statement in body:
            self.statement(statement, scope)

    def statement(self, node: ast.stmt, scope: Scope) -> None:  # noqa: C901, PLR0912 - one case a statement
        match node:
            case ast.Assign():
                value = self.value(node.value, scope)
                for target in node.targets:
                    self.assign(target, value, scope)
            case ast.AnnAssign():
                if node.value is not None:
                    self.assign(node.target, self.value(node.value, scope), scope)
            case ast.AugAssign():
                made = ast.BinOp(left=_as_load(node.target), op=node.op, right=node.value)
                self.assign(node.target, self.value(ast.copy_location(made, node), scope), scope)
            case ast.Expr():
                self.value(node.value, scope)
            case ast.Return():
                scope.returned.append(self.value(node.value, scope))
            case ast.If():
                self._if(node, scope)
            case ast.For() | ast.AsyncFor():
                self._for(node, scope)
            case ast.While():
                self.value(node.test, scope)
                self._twice(node.body, scope)
                self.block(node.orelse, scope)
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    value = self.value(item.context_expr, scope)
                    if item.optional_vars is not None:
                        self.assign(item.optional_vars, value, scope)
                self.block(node.body, scope)
            case ast.Try() | ast.TryStar():
                self._try(node, scope)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                for decorator in node.decorator_list:
                    self.value(decorator, scope)
                scope.set(node.name, Value(function=node))
            case ast.ClassDef():
                inner = Scope(scope.module, {}, parent=scope, depth=scope.depth)
                self.block(node.body, inner)
                for name, value in inner.names.items():
                    scope.module.attributes.setdefault(name, value)
                scope.set(node.name, Value(symbol=f"class:{node.name}", fields=tuple(inner.names.items())))
            case ast.Import() | ast.ImportFrom():
                self._import(node, scope)
            case ast.Global() | ast.Nonlocal():
                scope.globals_.update(node.names)
            case ast.Delete() | ast.Pass() | ast.Break() | ast.Continue():
                pass
            case ast.Raise():
                self.value(node.exc, scope)
            case ast.Assert():
                self.value(node.test, scope)
            case ast.Match():
                self.value(node.subject, scope)
                self._branches([case.body for case in node.cases], scope)

    def assign(self, target: ast.expr, value: Value, scope: Scope) -> None:
        match target:
            case ast.Name():
                scope.set(target.id, value)
            case ast.Tuple() | ast.List():
                for position, part in enumerate(target.elts):
                    inner = part.value if isinstance(part, ast.Starred) else part
                    exact = value.items is not None and len(value.items) == len(target.elts)
                    self.assign(inner, value.items[position] if exact and value.items else element(value), scope)
            case ast.Attribute():
                before = scope.module.attributes.get(target.attr)
                scope.module.attributes[target.attr] = value if before is None else joined((before, value))
                self._evaluate_target(target, value, scope)
            case ast.Subscript():
                self.value(target.slice, scope)
                self.taint(target.value, value, scope)
            case ast.Starred():
                self.assign(target.value, value, scope)

    def _evaluate_target(self, target: ast.Attribute, value: Value, scope: Scope) -> None:
        base = self.value(target.value, scope)
        self.assigned(target, base, value, scope)

    def assigned(self, target: ast.Attribute, base: Value, value: Value, scope: Scope) -> None:
        """Called for each assignment to an attribute; ``python_detect`` looks for replaced functions here."""

    def taint(self, target: ast.expr, value: Value, scope: Scope) -> None:
        """Something was put into what ``target`` names: a container, a buffer, an object."""
        held = value.everything()
        if not (held.tags or held.variables or held.urls):
            return
        node = target
        while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
            if isinstance(node, ast.Attribute):
                attribute = scope.module.attributes.get(node.attr, NOTHING)
                scope.module.attributes[node.attr] = _marked(attribute, held)
            node = node.func if isinstance(node, ast.Call) else node.value
        if isinstance(node, ast.Name):
            self.taint_name(node.id, held, scope)

    def taint_name(self, name: str, held: Value, scope: Scope) -> None:
        before = scope.find(name)
        if before is None or before.symbol.startswith("module:") or (before.function is not None and not before.texts):
            return
        after = _marked(before, held)
        if after == before:
            return
        where: Scope | None = scope
        while where is not None and name not in where.names:
            where = where.parent
        (where.names if where is not None else scope.module.names)[name] = after
        for root in before.roots - {name}:
            self.taint_name(root, held, scope)

    def _if(self, node: ast.If, scope: Scope) -> None:
        self.value(node.test, scope)
        with_names = dict(scope.names)
        self.narrow(node.test, scope)
        scope.guarded += 1
        self.block(node.body, scope)
        scope.guarded -= 1
        taken, after = scope.names, dict(scope.names)
        if node.orelse:
            taken.clear()
            taken.update(with_names)
            self.block(node.orelse, scope)
        other = dict(taken) if node.orelse else with_names
        for name in {*after, *other}:
            taken[name] = joined([one[name] for one in (after, other) if name in one])

    def narrow(self, test: ast.expr, scope: Scope) -> None:
        """Called before the body of an ``if``: what a test says about the names in it."""

    def _branches(self, bodies: list[list[ast.stmt]], scope: Scope) -> None:
        before = dict(scope.names)
        results = [before]
        for body in bodies:
            scope.names.clear()
            scope.names.update(before)
            self.block(body, scope)
            results.append(dict(scope.names))
        for name in {name for one in results for name in one}:
            scope.names[name] = joined([one[name] for one in results if name in one])

    def _for(self, node: ast.For | ast.AsyncFor, scope: Scope) -> None:
        self.assign(node.target, element(self.value(node.iter, scope)), scope)
        self._twice(node.body, scope)
        self.block(node.orelse, scope)

    def _twice(self, body: list[ast.stmt], scope: Scope) -> None:
        scope.loops += 1
        before = dict(scope.names)
        for _ in range(2 if scope.loops == 1 and self._steps > 0 else 1):
            self.block(body, scope)
        scope.loops -= 1
        for name, value in before.items():
            if scope.names.get(name) != value:
                scope.names[name] = joined((value, scope.names.get(name, NOTHING)))

    def _try(self, node: ast.Try | ast.TryStar, scope: Scope) -> None:
        before = dict(scope.names)
        self.block(node.body, scope)
        after = dict(scope.names)
        for handler in node.handlers:
            self.block(handler.body, scope)
        for name in {*before, *after}:
            values = [one[name] for one in (after, before, scope.names) if name in one]
            if len({id(value) for value in values}) > 1:
                scope.names[name] = joined(values)
        self.block(node.orelse, scope)
        self.block(node.finalbody, scope)

    def _import(self, node: ast.Import | ast.ImportFrom, scope: Scope) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                own = self._own(alias.name)
                if alias.asname or own is not None:
                    scope.set(alias.asname or alias.name.partition(".")[0], _module(alias.name, own))
                else:
                    top = alias.name.partition(".")[0]
                    scope.set(top, _module(top, None))
            return
        base = node.module or ""
        for alias in node.names:
            name = alias.asname or alias.name
            own = self._own(base) if base else None
            inner = self._own(f"{base}.{alias.name}" if base else alias.name)
            if own is not None and alias.name == "*":
                for each, value in own.names.items():
                    scope.set(each, value)
            elif own is not None and alias.name in own.names:
                scope.set(name, own.names[alias.name])
            elif inner is not None and (node.level or own is not None):
                scope.set(name, _module(alias.name, inner))
            elif not node.level:
                scope.set(name, Value(symbol=f"{base}.{alias.name}"))

    def _own(self, name: str) -> Module | None:
        module = self.program.by_name.get(name)
        if module is not None:
            self.run_module(module)
        return module

    def own_module(self, symbol: str) -> Module | None:
        """The module of the skill's own that a symbol stands for."""
        return self.program.by_name.get(symbol.removeprefix("module:")) if symbol.startswith("module:") else None


def _module(name: str, own: Module | None) -> Value:
    return Value(symbol=f"module:{name}" if own is not None else name)


def _marked(before: Value, held: Value) -> Value:
    return replace(
        before,
        tags=before.tags | held.tags,
        variables=before.variables | held.variables,
        urls=before.urls | held.urls,
    )


def _as_load(target: ast.expr) -> ast.expr:
    if isinstance(target, ast.Name):
        return ast.copy_location(ast.Name(id=target.id, ctx=ast.Load()), target)
    if isinstance(target, ast.Attribute):
        return ast.copy_location(ast.Attribute(value=target.value, attr=target.attr, ctx=ast.Load()), target)
    if isinstance(target, ast.Subscript):
        return ast.copy_location(ast.Subscript(value=target.value, slice=target.slice, ctx=ast.Load()), target)
    return target


def _bound(function: Function, arguments: tuple[Value, ...], named: dict[str, Value]) -> dict[str, Value]:
    """The parameters' values. What is not given may be anything, and has no marks."""
    spec = function.args
    positional = [*spec.posonlyargs, *spec.args]
    if positional and positional[0].arg in {"self", "cls"} and len(arguments) < len(positional):
        arguments = (NOTHING, *arguments)
    names = {parameter.arg: NOTHING for parameter in (*positional, *spec.kwonlyargs)}
    names |= {parameter.arg: value for parameter, value in zip(positional, arguments, strict=False)}
    if spec.vararg is not None:
        names[spec.vararg.arg] = Value(items=arguments[len(positional) :])
    if spec.kwarg is not None:
        names[spec.kwarg.arg] = Value(fields=tuple((name, value) for name, value in named.items() if name not in names))
    names |= {name: value for name, value in named.items() if name in names}
    for parameter, default in zip(positional[len(positional) - len(spec.defaults) :], spec.defaults, strict=True):
        if names[parameter.arg] is NOTHING and isinstance(default, ast.Constant) and isinstance(default.value, str):
            names[parameter.arg] = Value(texts=(default.value,))
    return names
