"""A skill's Python as a whole: what it is able to do, and what it does where facts combine."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from skillyard.governance.report import Capability, Confidence, Verdict
from skillyard.governance.static import python_names as names
from skillyard.governance.static import python_rules as rules
from skillyard.governance.static.gap import Gap, GapError
from skillyard.governance.static.hit import Hit, Shown
from skillyard.governance.static.python_calls import Calls
from skillyard.governance.static.python_expressions import Expressions
from skillyard.governance.static.python_flow import Flow, Module, Program, Scope
from skillyard.governance.static.python_paths import secrets_at
from skillyard.governance.static.python_report import Facts
from skillyard.governance.static.python_sinks import Sinks
from skillyard.governance.static.python_source import parse
from skillyard.governance.static.python_values import Tag, Value
from skillyard.governance.static.rule import Rule
from skillyard.governance.static.tool_texts import DESCRIBED
from skillyard.governance.static.view import Language, View

_NOTE: Final = re.compile(
    r"(?:your|all|ihre|sus|vos)\b.{0,60}\b(?:files?|pictures?|photos?|documents?|data|dateien|archivos)\b.{0,80}\b(?:encrypted|locked|verschlüsselt|cifrad)"
    r"|\b(?:btc|bitcoin|monero|xmr|ransom)\b.{0,200}\b(?:decrypt|unlock|key|recover)|\bto (?:decrypt|recover|unlock) your\b",
    re.IGNORECASE | re.DOTALL,
)
_MONEY: Final = re.compile(
    r"\b(?:btc|bitcoin|monero|xmr|eth|ethereum|usdt|bc1q|ransom|wallet)\b|\bbc1[a-z0-9]{8,}", re.IGNORECASE
)
_INTERCEPTED: Final = re.compile(
    r"^(?:requests\.(?:\w+\.)*(?:send|request|get|post)|urllib\.request\.urlopen|socket\.(?:socket|create_connection|socket\.\w+)|builtins\.(?:input|open|__import__|print)"
    r"|getpass\.getpass|subprocess\.(?:Popen|run|call)|http\.client\.\w+\.\w+|httpx\.\w+(?:\.\w+)?|os\.(?:system|getenv)|ssl\.\w+\.\w+|hashlib\.\w+|hmac\.\w+|anthropic\..*|openai\..*)$"
)
_REWRITES: Final = re.compile(r"\.write_(?:text|bytes)\(|open\([^)\n]*[\"'](?:w|r\+)b?[\"']")
_INSTALL_FILES: Final = re.compile(
    r"(?:^|/)(?:setup|conftest|hatch_build|build_hooks?|sitecustomize|usercustomize)\.py$"
)
_CLIPS: Final = re.compile(r"\b(?:pyperclip|clipboard|xerox)\.copy\(|SetClipboardData|clipboard_append")
_WALLETS: Final = re.compile(
    r"\[13\]?[\]\)]*\[a-k|\(bc1\||bc1\[|0x\[a-f|\^?0x\[0-9a-f|\[LM3\]\[|\bT\[A-Za-z1-9\]\{33\}", re.IGNORECASE
)
_OFFERED: Final = re.compile(r"(?:^|[._])(?:tool|prompt|resource)(?:\(|$)")
_INJECTION: Final = (
    re.compile(r"VirtualAlloc|\bmmap\(|mprotect"),
    re.compile(r"memmove|RtlMoveMemory|WriteProcessMemory|\.write\("),
    re.compile(r"CFUNCTYPE|CreateThread|CreateRemoteThread|\bcast\("),
)
_MINERS: Final = (
    *("stratum+", "xmrig", "minerd", "cpuminer", "coinhive", "donate-level", "cryptonight", "randomx", "nicehash"),
    *("ethminer", "t-rex", "lolminer", "phoenixminer", "mining."),
)
"""One of these is in whatever ``_MINING`` matches; looking for them is cheap."""
_MINING: Final = re.compile(
    r"stratum\+(?:tcp|ssl)://|\bmining\.(?:subscribe|authorize|submit)\b|\bxmrig\b|\bminerd\b|\bcpuminer\b|\bcoinhive\b|--donate-level|\bcryptonight\b|\brandomx\b.{0,60}\bpool\b|\bnicehash\b|\bethminer\b|\bt-rex\b.{0,40}-a\s|\blolminer\b|\bphoenixminer\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Analysed:
    """``found`` are texts that the code puts together: view, line, how it is known, text, language."""

    shown: tuple[Shown, ...]
    found: tuple[tuple[View, int, str, str, Language], ...]
    gaps: tuple[Gap, ...]


def analyse(views: Iterable[View], files: Iterable[str]) -> Analysed:
    """``views`` that are Python are taken together; ``files`` are the paths of all files of the skill."""
    sinks = Sinks()
    gaps: list[Gap] = []
    modules = []
    shown: list[Shown] = []
    for view in views:
        if view.language is not Language.PYTHON:
            continue
        try:
            source = parse(view.text)
        except GapError as gap:
            gaps.append(Gap(view.file, gap.reason))
            continue
        own = not view.via and view.file.lower().endswith((".py", ".pyw"))
        if own and (source is None or source.problem is not None):
            line, problem = (1, "not Python") if source is None or source.problem is None else source.problem
            shown.append(Hit(rules.UNPARSABLE, view, min(line, len(view.starts)), problem, f"({problem})"))
        if source is not None:
            modules.append(Module(view, source))
    flow = _SkillFlow(Program.of(modules), Expressions(Calls(files=_names(files), seen=sinks)), sinks)
    try:
        flow.run()
    except RecursionError:
        gaps.append(Gap("", "Python nested too deep to be followed"))
    for module in modules:
        shown.extend(_whole(module, sinks))
    described = (one for module in modules for one in _descriptions(module))
    return Analysed((*shown, *sinks.shown), (*sinks.found, *described), tuple(gaps))


def _descriptions(module: Module) -> Iterator[tuple[View, int, str, str, Language]]:
    """What the tools of a server say of themselves: an agent reads it as it reads the skill's own text."""
    for node in module.source.functions:
        if isinstance(node, ast.Lambda):
            continue
        if not any(_OFFERED.search(ast.unparse(one)) for one in node.decorator_list):
            continue
        if text := ast.get_docstring(node):
            line = module.view.line(module.view.starts[min(node.lineno, len(module.view.starts)) - 1])
            yield module.view, line, DESCRIBED, text, Language.TEXT


def mining(view: View) -> Iterator[Shown]:
    """Programs and addresses of miners, in anything but prose."""
    if view.language is Language.MARKDOWN and not view.via:
        return
    lowered = view.text.lower()
    if any(word in lowered for word in _MINERS) and (found := _MINING.search(view.text)):
        prose = view.language is Language.TEXT
        yield Hit(
            rules.MINING, view, view.line(found.start()), view.line_text(found.start()), "", Confidence.MEDIUM,
            Verdict.FLAG if prose else None,
        )  # fmt: skip


class _SkillFlow(Flow):
    def __init__(self, program: Program, evaluate: Expressions, sinks: Sinks) -> None:
        super().__init__(program, evaluate)
        self._sinks = sinks

    def assigned(self, target: ast.Attribute, base: Value, value: Value, scope: Scope) -> None:
        symbol = f"{base.symbol}.{target.attr}"
        if _INTERCEPTED.match(symbol) and (value.function is not None or value.symbol.startswith("class:")):
            self._sinks.hit_at(rules.INTERCEPTION, scope.module.view, target, f"({symbol})")
        if symbol == "sys.stdout" or not base.symbol:
            return

    def narrow(self, test: ast.expr, scope: Scope) -> None:
        """``if name in ("id_rsa", "wallet.dat")``: inside, what the variable holds is one of those."""
        secret: set[Tag] = set()
        for node in ast.walk(test):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 200:
                secret |= secrets_at(node.value)
            elif isinstance(node, ast.Name) and (kept := scope.find(node.id)) is not None:
                secret |= {tag for one in kept.items or () for text in one.texts[:20] for tag in secrets_at(text)}
        if not secret:
            return
        held = Value(tags=frozenset(secret))
        for node in ast.walk(test):
            if isinstance(node, ast.Name) and (kept := scope.find(node.id)) is not None and kept.items is None:
                self.taint_name(node.id, held, scope)


def _whole(module: Module, sinks: Sinks) -> Iterator[Shown]:
    view, facts = module.view, sinks.facts_of(module)
    yield from _imports(module, sinks)
    if facts.dup2 and facts.sockets and facts.dup2 >= 2:
        yield _first(rules.REVERSE_SHELL, module, "dup2")
    if facts.restores_times and "random." in view.text and _REWRITES.search(view.text):
        yield _first(rules.TAMPERING, module, "os.utime")
    if facts.listens_to_keys and facts.sends:
        yield _first(rules.WATCHED_SENT, module, "keyboard")
    if (facts.removes or facts.scrambles) and _NOTE.search(view.text) and _MONEY.search(view.text):
        yield _first(rules.RANSOM, module, "open")
    elif (
        facts.scrambles
        and facts.walks
        and facts.removes
        and re.search(r"\.(?:locked|encrypted|crypt|enc)\b", view.text)
    ):
        yield Hit(rules.RANSOM, view, view.first_line, view.line_text(0), "", Confidence.MEDIUM, Verdict.FLAG)
    if "clip" in view.text and _CLIPS.search(view.text) and _WALLETS.search(view.text):
        yield _first(rules.CLIPBOARD_CHANGED, module, "copy")
    if "ctypes" in view.text and all(pattern.search(view.text) for pattern in _INJECTION):
        yield _first(rules.MACHINE_CODE, module, "memmove")
    if _INSTALL_FILES.search(view.file) and not view.via:
        yield from _install_hook(module, sinks)


def _imports(module: Module, sinks: Sinks) -> Iterator[Shown]:
    for node in module.source.loads:
        imported: list[str] = []
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imported = [node.module]
        elif (
            isinstance(node, ast.Attribute)
            and node.attr == "environ"
            and isinstance(node.value, ast.Name)
            and node.value.id == "os"
        ):
            sinks.use_at(Capability.ENVIRONMENT, module.view, node)
        for name in imported:
            if names.is_network(name) and name not in {"http", "urllib.parse", "http.cookies", "ssl"}:
                sinks.use_at(Capability.NETWORK, module.view, node)
            if name.partition(".")[0] in {"ctypes", "cffi"}:
                sinks.use_at(Capability.NATIVE_CODE, module.view, node)
    return iter(())


def _install_hook(module: Module, sinks: Sinks) -> Iterator[Shown]:
    facts: Facts = sinks.facts_of(module)
    runs = [
        one
        for one in sinks.shown
        if not isinstance(one, Hit) and one.view is module.view and one.capability is Capability.SUBPROCESS
    ]
    if facts.sends or (runs and "setup(" in module.view.text):
        cmdclass = "cmdclass" in module.view.text
        line = runs[0].line if runs else module.view.first_line
        evidence = runs[0].evidence if runs else module.view.line_text(0)
        yield Hit(rules.INSTALL_HOOK, module.view, line, evidence, "", Confidence.HIGH if cmdclass else Confidence.MEDIUM,
                  Verdict.BLOCK if facts.sends and cmdclass else None)  # fmt: skip


def _first(rule: Rule, module: Module, word: str) -> Hit:
    offset = max(module.view.text.find(word), 0)
    return Hit(rule, module.view, module.view.line(offset), module.view.line_text(offset))


def _names(files: Iterable[str]) -> frozenset[str]:
    return frozenset(path.rpartition("/")[2] for path in files)
