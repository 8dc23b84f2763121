"""Pages about how things work name real code: a page that drifts from the code is worse than none."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(ROOT.glob("docs/concepts/*.md"))
_PATH = re.compile(r"`((?:skillyard|tests|benchmarks)/[^`\s]*)`")
_NAME = re.compile(r"`(skillyard(?:\.\w+)+)`")


def names(text: str) -> list[str]:
    return sorted(set(_NAME.findall(text)))


def module_of(dotted: str) -> tuple[Path, list[str]]:
    """The file of the longest prefix that is a module, and what is left of the name."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        base = ROOT.joinpath(*parts[:length])
        for file in (base.with_suffix(".py"), base / "__init__.py"):
            if file.is_file():
                return file, parts[length:]
    raise LookupError(dotted)


def defines(body: list[ast.stmt], path: list[str]) -> bool:
    """Whether a module or class defines the name, and that the next one, and so on."""
    if not path:
        return True
    for node in body:
        match node:
            case ast.ClassDef(name=name, body=inner) if name == path[0]:
                return defines(inner, path[1:])
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if name == path[0]:
                return len(path) == 1
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)) if name == path[0]:
                return len(path) == 1
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    missing = [path for path in _PATH.findall(page.read_text()) if not (ROOT / path).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_name_that_a_page_names_is_defined(page: Path) -> None:
    missing = []
    for dotted in names(page.read_text()):
        file, rest = module_of(dotted)
        if not defines(ast.parse(file.read_text()).body, rest):
            missing.append(dotted)
    assert missing == []


def test_a_name_that_is_gone_would_be_noticed() -> None:
    file, rest = module_of("skillyard.runtime.invoke.Invoker.no_such_method")
    assert rest == ["Invoker", "no_such_method"]
    assert not defines(ast.parse(file.read_text()).body, rest)


def test_the_page_about_a_call_names_each_stage() -> None:
    named = names((ROOT / "docs/concepts/how-a-call-travels.md").read_text())
    stages = ["api", "runtime.decide", "runtime.admission", "runtime.pool", "runtime.start", "sandbox.running"]
    stages += ["sandbox.guest", "sandbox.ending", "governance.audit"]
    assert [stage for stage in stages if not any(name.startswith(f"skillyard.{stage}") for name in named)] == []
