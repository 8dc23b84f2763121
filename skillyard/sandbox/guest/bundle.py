"""The skill's own Python files: compiled once per container, executed only in children.

Without this every call would compile its entry and every module of the skill that it imports, since a read-only
bundle has no bytecode. Compiling executes nothing of a file.
"""

from __future__ import annotations

import opcode
import os
import sys
import time
import warnings
from importlib.machinery import FileFinder, SourceFileLoader

from skillyard.sandbox.guest.plain import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType

_SECONDS = 3.0
"""After this long the remaining files are left to be compiled by the calls that want them."""
_IMPORT, _EXTENDED = opcode.opmap["IMPORT_NAME"], opcode.opmap["EXTENDED_ARG"]
_NOT_AHEAD = frozenset(("__future__", "__main__", "antigravity", "this", "test", "idlelib", "turtledemo"))
"""Modules of the standard library that do something visible when they are imported, or are none to import."""
_code: dict[str, CodeType] = {}


class BundleLoader(SourceFileLoader):
    """Loads a file of the bundle from the code compiled ahead, where there is some."""

    def get_code(self, fullname: str) -> CodeType | None:
        return _code.get(self.path) or super().get_code(fullname)

    def code(self) -> CodeType:
        """The code of a file that is run, not imported. Raises ``OSError`` or ``SyntaxError``."""
        return _code.get(self.path) or self.source_to_code(self.get_data(self.path), self.path)


def compile_sources(root: str) -> None:
    """Compile what can be compiled, and have imports below ``root`` find it. What fails says so when it is called."""
    until = time.monotonic() + _SECONDS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for folder, _, names in os.walk(root):
            for name in sorted(names):
                if name.endswith(".py") and time.monotonic() < until:
                    # A file that does not compile (or passes the compiler's limits) must not cost the container.
                    with suppress(OSError, SyntaxError, ValueError, RecursionError, MemoryError):
                        compile_file(f"{folder}/{name}")
    sys.path_hooks.insert(0, _hook(root))


def compile_file(path: str) -> None:
    """Raises what reading and compiling raise."""
    loader = BundleLoader(path, path)
    _code[path] = loader.source_to_code(loader.get_data(path), path)


def standard_imports() -> list[str]:
    """Modules of the standard library that the compiled files import anywhere, by their dotted names."""
    names = {name for code in _code.values() for name in _imports(code)}
    return sorted(name for name in names if name.partition(".")[0] in sys.stdlib_module_names - _NOT_AHEAD)


def _imports(code: CodeType) -> Iterator[str]:
    """The operands of ``IMPORT_NAME``, which of a relative import is no standard module's, or harmless."""
    argument = 0
    for operation, operand in zip(code.co_code[::2], code.co_code[1::2], strict=True):
        argument = argument << 8 | operand
        if operation == _EXTENDED:
            continue
        if operation == _IMPORT:
            yield code.co_names[argument]
        argument = 0
    for constant in code.co_consts:
        if isinstance(constant, type(code)):
            yield from _imports(constant)


def _hook(root: str):  # type: ignore[no-untyped-def] # the type of path hooks has no public name
    make = FileFinder.path_hook((BundleLoader, [".py"]))

    def finder(path: str) -> object:
        if path != root and not path.startswith(f"{root}/"):
            raise ImportError(f"{path} is not in the bundle")
        return make(path)

    return finder
