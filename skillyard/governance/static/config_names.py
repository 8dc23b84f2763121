"""Packages that pass themselves off as a well-known one: by a slip of its name, or by its name and a stranger's address.

Only slips that nobody gives a package on purpose count: two letters swapped, one doubled or, in a long name, left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from skillyard.governance.report import Confidence
from skillyard.governance.static.config_rules import RULES
from skillyard.governance.static.hit import Hit, Shown
from skillyard.governance.static.urls import Host, urls
from skillyard.governance.static.view import Language, View
from skillyard.governance.static.words_context import place

_PYTHON: Final = frozenset(
    """
aiohttp anthropic asyncio beautifulsoup4 boto3 botocore celery certifi chardet charset-normalizer click colorama cryptography
discord.py django fastapi flask gradio gunicorn httpx huggingface-hub jinja2 jupyter keras langchain lxml markdown matplotlib
numpy openai openai-whisper opencv-python openpyxl pandas paramiko pillow playwright plotly polars psutil psycopg2 psycopg2-binary
pycryptodome pydantic pymongo pypdf pypdf2 pyperclip pytest python-dateutil python-docx python-dotenv python-telegram-bot pytz pyyaml
redis reportlab requests scikit-learn scipy scrapy seaborn selenium setuptools soundfile sqlalchemy streamlit tenacity tensorflow tiktoken torch torchvision
tqdm transformers typer urllib3 uvicorn virtualenv watchdog web3 websockets werkzeug yt-dlp
""".split()
)
_NODE: Final = frozenset(
    """
angular axios babel bcrypt body-parser chalk cheerio chokidar commander cookie-parser cors cross-env crypto-js dayjs discord.js dotenv
electron esbuild eslint ethers express fs-extra glob graphql http-proxy inquirer jest jquery jsonwebtoken lodash mongodb mongoose
minimist moment morgan multer mysql2 next node-fetch nodemailer nodemon openai passport playwright postcss prettier prisma puppeteer
react react-dom redux rimraf rollup semver sharp socket.io styled-components stripe tailwindcss telegraf typescript underscore undici uuid
vite vitest web3 webpack winston yargs zod
""".split()
)
_OWNERS: Final = {
    "anthropic": "anthropics", "axios": "axios", "beautifulsoup4": "", "boto3": "boto", "chalk": "chalk", "discord.js": "discordjs", "discord.py": "rapptz",
    "django": "django", "dotenv": "motdotla", "ethers": "ethers-io", "express": "expressjs", "fastapi": "fastapi", "flask": "pallets",
    "httpx": "encode", "langchain": "langchain-ai", "lodash": "lodash", "numpy": "numpy", "openai": "openai", "openai-whisper": "openai",
    "pandas": "pandas-dev", "playwright": "microsoft", "puppeteer": "puppeteer", "pydantic": "pydantic", "pytest": "pytest-dev",
    "react": "facebook", "requests": "psf", "scikit-learn": "scikit-learn", "sharp": "lovell", "stripe": "stripe", "torch": "pytorch",
    "transformers": "huggingface", "typescript": "microsoft", "undici": "nodejs", "web3": "ethereum", "yt-dlp": "yt-dlp",
}  # fmt: skip
"""Whose repository a package has."""
_INSTALLED: Final = re.compile(
    r"\b(pip3?|uv|pipx|poetry|npm|yarn|pnpm|bun)[\"',\s]{1,5}(?:pip[\"',\s]{1,4})?(?:install|add|i)\b[\"',]?((?:[ \t]+|[\"', ]{1,4})[^\n|;&`)\]]{1,400})"
)
_NODE_TOOLS: Final = frozenset({"npm", "yarn", "pnpm", "bun"})
_REQUIRED: Final = re.compile(r"(?m)^[ \t]*([A-Za-z][\w.-]{2,60})[ \t]*(?:\[[\w, -]*\])?[ \t]*(?=[=<>~!;@#\n]|$)")
_DEPENDS: Final = re.compile(r"\"((?:@[\w.-]+/)?[a-z][\w.-]{2,60})\"\s*:\s*\"([^\"\n]{1,300})\"")
_NEEDED: Final = re.compile(r"\brequire\(\s*[\"']([a-z][\w.-]{3,60})[\"']\s*\)|\bfrom\s+[\"']([a-z][\w.-]{3,60})[\"']")
_BY_GIT: Final = re.compile(
    r"(?m)(?:^|[\s\"'])([A-Za-z][\w.-]{2,60})(?:\[[\w, -]*\])?\s*(?:@\s*|\"\s*:\s*\")((?:git\+)?(?:https?|ssh)://[^\s\"'#@;]{0,60}(?:@[\w.-]+)?[^\s\"'#;]{4,200})"
)


def detect(view: View) -> Iterator[Shown]:
    """Names that are almost a well-known package's, and well-known names that come from somewhere else."""
    for at, name, node in _named(view):
        if (meant := _meant(name.lower(), node)) and not place(view, at, at + len(name)).discussed:
            shown = view.line_text(at)
            yield Hit(RULES["lookalike_package"], view, view.line(at), shown, f"({name} for {meant})", Confidence.HIGH)
    if "://" in view.text:
        yield from _elsewhere(view)


def _named(view: View) -> Iterator[tuple[int, str, bool]]:
    name = view.file.rpartition("/")[2].lower()
    seen: set[str] = set()
    for found in _INSTALLED.finditer(view.text):
        for one in re.finditer(r"(?<![\w./@:=-])[A-Za-z@][\w.-]{3,60}", found[2]):
            if one[0] not in seen:
                seen.add(one[0])
                yield found.start(2) + one.start(), one[0], found[1] in _NODE_TOOLS
    if view.via:
        return
    if re.fullmatch(r"(?:requirements|constraints)[\w.-]*\.(?:txt|in)", name):
        yield from ((found.start(1), found[1], False) for found in _REQUIRED.finditer(view.text))
    elif name == "package.json":
        yield from ((found.start(1), found[1], True) for found in _DEPENDS.finditer(view.text) if _is_version(found[2]))
    elif view.language is Language.JAVASCRIPT:
        yield from ((found.start(), found[1] or found[2], True) for found in _NEEDED.finditer(view.text))


def _is_version(value: str) -> bool:
    return bool(re.match(r"(?:[\^~>=<v ]*\d|\*|latest\b|next\b|x\b|git|https?:)", value))


def _meant(name: str, node: bool) -> str:
    """The package that a slip stands for; empty where the name is nobody's slip."""
    name = name.replace("_", "-")
    if len(name) < 5 or name in _PYTHON or name in _NODE:
        return ""
    return _slips(node).get(name, "")


@cache
def _slips(node: bool) -> dict[str, str]:
    """Every slip of every well-known name."""
    slips: dict[str, str] = {}
    for name in _NODE if node else _PYTHON:
        if len(name) < 5:
            continue
        for at, letter in enumerate(name):
            slips[f"{name[:at]}{letter}{name[at:]}"] = name
            if at + 1 < len(name) and name[at + 1] != letter:
                slips[f"{name[:at]}{name[at + 1]}{letter}{name[at + 2 :]}"] = name
            if len(name) >= 8 and 0 < at < len(name) - 1 and letter.isalpha():
                slips[f"{name[:at]}{name[at + 1 :]}"] = name
    return slips


def _elsewhere(view: View) -> Iterator[Hit]:
    """A well-known name whose package comes from a host or an account that is not its own."""
    name = view.file.rpartition("/")[2].lower()
    if name != "package.json" and not re.search(r"requirements|constraints|pyproject", name):
        return
    for found in _BY_GIT.finditer(view.text):
        package = found[1].lower().replace("_", "-")
        if package not in _PYTHON and package not in _NODE:
            continue
        url = next(iter(urls(re.sub(r"^(?:git\+)?ssh://(?:git@)?", "https://", found[2].removeprefix("git+")))), None)
        if url is None or url.kind in {Host.PRIVATE, Host.OPEN, Host.INSTALLER, Host.API}:
            continue
        foreign = url.kind is not Host.REPOSITORY or _is_stand_in(url.rest, package)
        if foreign and not place(view, found.start(1), found.end(1)).discussed:
            line = view.line(found.start(1))
            yield Hit(
                RULES["lookalike_source"], view, line, found[0], f"({package} from {url.rest[:80]})", Confidence.HIGH
            )


def _is_stand_in(rest: str, package: str) -> bool:
    """Whether an account looks like the package's own without being it; another name is a fork."""
    account = [*rest.split("/"), "", ""][1].lower()
    owner = _OWNERS.get(package, "")
    if not owner or not account or account == owner:
        return False
    if owner in account.replace("_", "-").split("-") or owner.replace("-", "") in account or _close(account, owner):
        return True
    return bool(re.search(r"-?(?:fast|lts|fork|patched|hotfix|mirror|official)\b", rest)) and package in rest


def _close(left: str, right: str) -> bool:
    """Whether two names differ by two letters at most."""
    if abs(len(left) - len(right)) > 2 or min(len(left), len(right)) < 4:
        return False
    row = list(range(len(right) + 1))
    for number, one in enumerate(left, 1):
        last, row[0] = row[0], number
        for at, other in enumerate(right, 1):
            last, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, last + (one != other))
    return row[-1] <= 2
