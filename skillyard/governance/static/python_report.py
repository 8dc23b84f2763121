"""What the analysis of Python reports: hits, capabilities, and texts that the code puts together."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Final

from skillyard.governance.report import Capability, Confidence, Verdict
from skillyard.governance.static.hit import Hit, Shown, Use
from skillyard.governance.static.python_call import Call
from skillyard.governance.static.python_flow import Module
from skillyard.governance.static.rule import Rule
from skillyard.governance.static.view import Language, View

_MOST_FOUND: Final = 200


@dataclass(slots=True)
class Facts:
    """What was seen in a module as a whole, for findings that need more than one place."""

    dup2: int = 0
    sockets: int = 0
    shells: int = 0
    listens_to_keys: int = 0
    restores_times: int = 0
    sends: int = 0
    removes: int = 0
    scrambles: int = 0
    walks: int = 0


@dataclass(slots=True)
class Report:
    """Collects what is shown, and texts that the code puts together, which are looked at as views of their own."""

    shown: list[Shown] = field(default_factory=list)
    found: list[tuple[View, int, str, str, Language]] = field(default_factory=list)
    """The view, the line, how it is known, the text, and what it is written in."""
    facts: dict[int, Facts] = field(default_factory=dict)
    _told: set[tuple[str, int, int]] = field(default_factory=set)
    _texts: set[str] = field(default_factory=set)

    def facts_of(self, module: Module) -> Facts:
        return self.facts.setdefault(id(module), Facts())

    def hit(
        self,
        rule: Rule,
        call: Call,
        detail: str = "",
        *,
        level: Verdict | None = None,
        confidence: Confidence = Confidence.HIGH,
    ) -> None:
        self.hit_at(rule, call.scope.module.view, call.node, detail, level=level, confidence=confidence)

    def hit_at(
        self,
        rule: Rule,
        view: View,
        node: ast.AST,
        detail: str = "",
        *,
        level: Verdict | None = None,
        confidence: Confidence = Confidence.HIGH,
    ) -> None:
        line, evidence = place(view, node)
        key = (rule.id, id(view), line)
        if key not in self._told:
            self._told.add(key)
            self.shown.append(Hit(rule, view, line, evidence, detail, confidence, level))

    def use(self, capability: Capability, call: Call) -> None:
        self.use_at(capability, call.scope.module.view, call.node)

    def use_at(self, capability: Capability, view: View, node: ast.AST) -> None:
        line, evidence = place(view, node)
        key = (capability.value, id(view), line)
        if key not in self._told:
            self._told.add(key)
            self.shown.append(Use(capability, view, line, evidence))

    def text(self, call: Call, how: str, text: str, language: Language) -> None:
        if len(text) >= 6 and text not in self._texts and len(self.found) < _MOST_FOUND:
            self._texts.add(text)
            line, _ = place(call.scope.module.view, call.node)
            self.found.append((call.scope.module.view, line, how, text, language))


def place(view: View, node: ast.AST) -> tuple[int, str]:
    """The line in the file, and the text there."""
    number = min(max(getattr(node, "lineno", 1), 1), len(view.starts))
    offset = view.starts[number - 1]
    return view.line(offset), view.line_text(offset).strip()
