"""What a text is written in, by its name or its first line."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Final

from skillyard.governance.static.view import Language

_BY_SUFFIX: Final = {
    Language.PYTHON: ".py .pyw .pyi .pyx",
    Language.JAVASCRIPT: ".js .mjs .cjs .jsx .ts .tsx .mts .cts",
    Language.SHELL: ".sh .bash .zsh .fish .ksh .ps1 .psm1 .psd1 .bat .cmd .command .vbs .applescript .scpt .envrc",
    Language.MARKDOWN: ".md .mdx .markdown .mdc .rst .adoc .html .htm .svg .xhtml",
    Language.CONFIG: ".json .jsonc .json5 .yaml .yml .toml .ini .cfg .conf .lock .xml .plist .properties .env .service "
    ".timer .desktop .pth .reg .tf .hcl .gradle .gemspec .podspec .npmrc .pypirc .yarnrc .editorconfig",
}
_SUFFIXES: Final = {suffix: language for language, listed in _BY_SUFFIX.items() for suffix in listed.split()}
_BY_NAME: Final = {
    "makefile": Language.SHELL,
    "gnumakefile": Language.SHELL,
    "justfile": Language.SHELL,
    "dockerfile": Language.SHELL,
    "containerfile": Language.SHELL,
    "procfile": Language.SHELL,
    ".bashrc": Language.SHELL,
    ".zshrc": Language.SHELL,
    ".profile": Language.SHELL,
    ".bash_profile": Language.SHELL,
    "sconstruct": Language.PYTHON,
    "wscript": Language.PYTHON,
    ".npmrc": Language.CONFIG,
    ".yarnrc": Language.CONFIG,
    ".pypirc": Language.CONFIG,
    ".gitconfig": Language.CONFIG,
    ".gitattributes": Language.CONFIG,
    ".gitmodules": Language.CONFIG,
    ".env": Language.CONFIG,
    "pipfile": Language.CONFIG,
    "crontab": Language.CONFIG,
    ".cursorrules": Language.MARKDOWN,
    ".windsurfrules": Language.MARKDOWN,
    ".clinerules": Language.MARKDOWN,
}
_SHEBANG: Final = re.compile(r"\ufeff?#!.{0,80}?\b(python|node|deno|bun|(?:ba|z|da|k|fi)?sh|pwsh)[\d.]*\b")
_REQUIREMENTS: Final = re.compile(r"(?:requirements|constraints)[\w.-]*\.(?:txt|in)", re.IGNORECASE)
_DOTENV: Final = re.compile(r"\.env(?:\.[\w.-]+)?", re.IGNORECASE)
_PYTHON_START: Final = re.compile(
    r"^\s*(?:import \w+|from [\w.]+ import |def \w+\(|class \w+|exec\(|eval\(|print\(|__import__\()", re.MULTILINE
)
_SHELL_START: Final = re.compile(
    r"^\s*(?:sudo |curl |wget |bash |sh |nohup |export \w+=|powershell|iex |chmod \+x |rm -r|nc |cat )"
    r"|\|\s*(?:ba|z)?sh\b|/dev/tcp/|\$\(",
    re.MULTILINE,
)
_JAVASCRIPT_START: Final = re.compile(
    r"\brequire\(['\"]|\b(?:const|let|var) [\w{ ,}]+ ?=|=> ?[{(]|\bfunction ?\w*\(|process\.env|<script\b"
)
_TEXTUAL: Final = {".txt", ".text", ".log", ".prompt", ".tmpl", ".j2", ".jinja", ".template", ".skill", ".license"}


def language_of(path: str, text: str = "") -> Language:
    """By the name; by the shebang where the name says nothing."""
    name = PurePosixPath(path).name.lower()
    if name in _BY_NAME:
        return _BY_NAME[name]
    if _REQUIREMENTS.fullmatch(name) or _DOTENV.fullmatch(name):
        return Language.CONFIG
    if name.startswith(("dockerfile.", "makefile.")):
        return Language.SHELL
    if (found := _SUFFIXES.get(PurePosixPath(name).suffix)) is not None:
        return found
    if shebang := _SHEBANG.match(text):
        program = shebang[1]
        if program == "python":
            return Language.PYTHON
        return Language.JAVASCRIPT if program in {"node", "deno", "bun"} else Language.SHELL
    return Language.TEXT


def is_named_as_text(path: str) -> bool:
    """Whether the name promises text that a person, an agent or an interpreter reads."""
    name = PurePosixPath(path).name.lower()
    suffix = PurePosixPath(name).suffix
    return language_of(path) is not Language.TEXT or suffix in _TEXTUAL or name in {"license", "readme", "notice"}


def guessed(text: str) -> Language:
    """For text without a name, which was found inside another: by what it looks like."""
    start = text[:20_000]
    if _SHEBANG.match(start):
        return language_of("", start)
    if _PYTHON_START.search(start):
        return Language.PYTHON
    if _SHELL_START.search(start):
        return Language.SHELL
    if _JAVASCRIPT_START.search(start):
        return Language.JAVASCRIPT
    return Language.TEXT
