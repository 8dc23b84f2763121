"""Which names a folder of installed files makes importable (the import system of the language reference)."""

from __future__ import annotations

from collections.abc import Iterable

_SUFFIXES = (".py", ".pyc", ".so")


def top_level_modules(paths: Iterable[str]) -> tuple[str, ...]:
    """Top-level modules and packages, namespace packages (PEP 420) included, sorted.

    A folder counts if some file below it is Python or an extension module; ``*.dist-info``, ``*.libs`` and the like
    are no identifiers and so cannot be imported.
    """
    return tuple(sorted({name for path in paths if (name := _top_level(path)) is not None}))


def _top_level(path: str) -> str | None:
    if not path.endswith(_SUFFIXES):
        return None
    parts = path.split("/")
    # An extension module's file name carries tags: ``_cffi.cpython-311-x86_64-linux-gnu.so`` is ``_cffi``.
    name = parts[0] if len(parts) > 1 else parts[0].partition(".")[0]
    importable = name.isidentifier() and all(part.isidentifier() for part in parts[:-1])
    return name if importable else None
