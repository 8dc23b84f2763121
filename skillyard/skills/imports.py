"""What a skill's Python files import, found by parsing them; nothing is imported or executed.

Imports are those of every Python file of the bundle, at any depth of the file, less the standard library
(``sys.stdlib_module_names``), what a sandbox itself offers, and the skill's own modules. ``undeclared_imports``
compares them with what is declared.
"""

from __future__ import annotations

import ast
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from skillyard.skills.bundle import open_file
from skillyard.skills.errors import BundleTooLargeError, SkillError
from skillyard.skills.skill import Bundle, Ecosystem, Skill

MAX_PYTHON_BYTES = 512 * 1024
"""Largest Python file that is parsed: a syntax tree may take a thousand times the text's memory."""
MAX_ALL_PYTHON_BYTES = 2 * 1024 * 1024
"""Python of one bundle that is parsed: nothing else of this process runs while a file is."""

DISTRIBUTIONS: dict[str, tuple[str, ...]] = {
    "Crypto": ("pycryptodome",),
    "OpenSSL": ("pyopenssl",),
    "PIL": ("pillow", "pillow-simd"),
    "attr": ("attrs",),
    "bs4": ("beautifulsoup4",),
    "cv2": ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
    "dateutil": ("python-dateutil",),
    "docx": ("python-docx",),
    "dotenv": ("python-dotenv",),
    "fitz": ("pymupdf",),
    "git": ("gitpython",),
    "github": ("pygithub",),
    "googleapiclient": ("google-api-python-client",),
    "jwt": ("pyjwt",),
    "magic": ("python-magic",),
    "mpl_toolkits": ("matplotlib",),
    "pptx": ("python-pptx",),
    "psycopg2": ("psycopg2", "psycopg2-binary"),
    "pylab": ("matplotlib",),
    "pythoncom": ("pywin32",),
    "serial": ("pyserial",),
    "skimage": ("scikit-image",),
    "sklearn": ("scikit-learn",),
    "slugify": ("python-slugify",),
    "umap": ("umap-learn",),
    "usb": ("pyusb",),
    "websocket": ("websocket-client",),
    "yaml": ("pyyaml",),
    "zmq": ("pyzmq",),
}
"""Import names whose distribution has another name. Short on purpose: a name missing here is compared as it is."""

_NAMESPACES = frozenset({"google", "azure", "zope", "ruamel", "jaraco"})
"""Top-level names that many distributions share; ``google.cloud.storage`` comes from ``google-cloud-storage``."""

_OF_THE_SANDBOX = frozenset({"skillyard_call"})
"""Modules that every sandbox has, as it has the standard library: by them a skill says how far its call is."""

# One syntax tree at a time is as much memory as they may take. And the parser warns about invalid escapes in the
# skill's code, and warning filters belong to the whole process.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True)
class UndeclaredImport:
    """An import that no declared package is known to provide; ``distribution`` is the likeliest name to declare."""

    module: str
    distribution: str


@contextmanager
def parsed(folder: Path, path: str) -> Iterator[ast.Module]:
    """The syntax tree of a Python file, the only one of this process; keep no part of it.

    Raises ``SkillError`` with the line where it does not parse, ``BundleTooLargeError`` for one that is not read.
    """
    with open_file(folder, path) as (file, info):
        if info.st_size > MAX_PYTHON_BYTES:
            message = f"a Python file larger than {MAX_PYTHON_BYTES // 1024} KiB is not analysed"
            raise BundleTooLargeError(message, file=path)
        source = file.read(MAX_PYTHON_BYTES)
    with _one_at_a_time:
        yield _tree(source, path)


def _tree(source: bytes, path: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source, filename=path)
    except SyntaxError as error:
        raise SkillError(f"not valid Python: {error.msg}", file=path, line=error.lineno) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise SkillError("not valid Python: null bytes, or nested too deep", file=path) from error


def foreign_imports(bundle: Bundle, path: str, module: ast.Module) -> frozenset[str]:
    """Dotted names that the file at ``path``, of which ``module`` is the syntax tree, imports from elsewhere."""
    known = sys.stdlib_module_names | _own_modules(bundle, path) | _OF_THE_SANDBOX
    return frozenset(name for name in _imported(module) if name.partition(".")[0] not in known)


def undeclared_imports(skill: Skill) -> tuple[UndeclaredImport, ...]:
    """Imports that no declared package provides by name, one a top-level module, sorted."""
    declared = {package.name for package in skill.declared if package.ecosystem is Ecosystem.PYPI}
    missing: dict[str, UndeclaredImport] = {}
    for name in skill.imports:
        top = name.partition(".")[0]
        key = name if top in _NAMESPACES else top
        if not _provided(name, declared):
            missing.setdefault(key, UndeclaredImport(key, _likeliest(name)))
    return tuple(missing[key] for key in sorted(missing))


def _provided(name: str, declared: set[str]) -> bool:
    top = name.partition(".")[0]
    if top in _NAMESPACES:
        parts = name.split(".")
        return any(canonicalize_name("-".join(parts[:depth])) in declared for depth in range(2, len(parts) + 1))
    return not declared.isdisjoint({canonicalize_name(top), *DISTRIBUTIONS.get(top, ())})


def _likeliest(name: str) -> str:
    top = name.partition(".")[0]
    if top in DISTRIBUTIONS:
        return DISTRIBUTIONS[top][0]
    return canonicalize_name(name.replace(".", "-") if top in _NAMESPACES else top)


def _imported(module: ast.Module) -> Iterator[str]:
    """Dotted names, to the depth that may be a module: ``from a.b import c`` gives ``a.b``, relative imports none."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            if node.module.partition(".")[0] in _NAMESPACES:
                yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name != "*")
            else:
                yield node.module


def _own_modules(bundle: Bundle, path: str) -> set[str]:
    """Names importable from a file's own folder, the folders above it, and ``scripts``: what may be on its path."""
    parts = path.split("/")[:-1]
    roots = {"/".join(parts[:depth]) for depth in range(len(parts) + 1)} | {"scripts"}
    own = set()
    for file in bundle.files:
        if not file.path.endswith(".py"):
            continue
        for root in roots:
            prefix = f"{root}/" if root else ""
            if file.path.startswith(prefix):
                own.add(file.path.removeprefix(prefix).partition("/")[0].removesuffix(".py"))
    return own
