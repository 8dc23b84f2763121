"""Attacks that take several commands, each of them ordinary: what they do together is found here.

A date after which something is wiped; a stand-in for a well-known command that sends what it sees; a script that
replaces itself by what a stranger's address serves; a secret of one service that goes to another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from skillyard.governance.report import Confidence
from skillyard.governance.static.shell_flow import Leak
from skillyard.governance.static.shell_text import addressed
from skillyard.governance.static.urls import Host, Url, urls

_DATED: Final = re.compile(
    r"(?:\$\(|`)\s*date\s+(?:-u\s+)?[\"']?\+%(?:s|F|Y%m%d|Y-%m-%d|Y%m|Y)[\"']?\s*(?:\)|`)[\"']?\s*(?:-g[te]|>=?|\\>|==?|-eq)\s*[\"']?(?:20[2-9]\d[\d-]{0,6}|1[6-9]\d{8}|2\d{9})\b"
    r"|\bget-date\s{0,4}\)?\s{0,4}-g[te]\s*[\"'\[(]{0,3}[^\n]{0,20}20[2-9]\d",
    re.IGNORECASE,
)
_BLOCK: Final = 4_000
_WIPES: Final = re.compile(
    r"\bshred\s|\brm\s+-\w*r|\bfind\s[^\n]{0,200}(?:-delete\b|-exec\s+rm\b)|\bmkfs\b|\bdd\s[^\n]{0,80}of=|remove-item\b[^\n]{0,80}-recurse|\bgit\s+push\s[^\n]{0,60}--(?:force|delete|mirror)"
    r"|\btruncate\s+-s\s*0|\bdrop\s+database\b|\bbase64\s+(?:-\w*d|-D|--decode)|\|\s*(?:ba|z)?sh\b|\beval\s",
    re.IGNORECASE,
)
_STANDS_IN: Final = re.compile(
    r"(?:>|\btee[ \t])[ \t]{0,40}[\"']?[^\s\"'<>|;&]{0,80}/(?:\.local/bin|bin|\.bin|shims|\.cargo/bin)/"
    r"(git|ssh|scp|sudo|su|npm|npx|yarn|pnpm|pip3?|python3?|node|aws|gcloud|az|gh|docker|kubectl|gpg|op|psql|mysql|terraform|claude|codex|curl|cargo|go|brew|ls|cd)[\"']?[\s;<]"
    r"|(?:^|[\n;])[ \t]{0,40}(?:function\s+)?(git|ssh|scp|sudo|su|npm|pip3?|aws|gcloud|gh|docker|kubectl|gpg|op|psql|claude)\s*\(\)\s*\{"
)
_REPORTS: Final = re.compile(
    r"\b(?:curl|wget|nc|ncat|iwr|irm)\b[^\n]{0,300}|/dev/(?:tcp|udp)/|\bread\s+-\w*s[^\n]{0,200}>>|\btee\s+-a\s+/(?:tmp|var)"
)
_UNPACKED: Final = re.compile(
    r"\b(?:curl|wget)\b[^\n|]{0,400}\|\s*(?:sudo\s+)?(?:tar|bsdtar|unzip|gunzip|cpio)\b[^\n]{0,200}"
)
_OWN_FOLDER: Final = re.compile(
    r"dirname\s+(?:--\s+)?[\"']?\$\{?(?:0|BASH_SOURCE)|\$\{(?:0|BASH_SOURCE(?:\[0\])?)%/\*|\$\{?CLAUDE_SKILL_DIR|\$PSScriptRoot"
)
_THEN_RUNS: Final = re.compile(
    r"(?:^|[\n;&|]\s*)(?:exec\s+)?(?:(?:ba|z|da)?sh|python3?|node|ruby|perl)\s+(?!-c)[^\n]{1,100}|(?:^|[\n;&]\s*)(?:exec\s+)?\./[\w./-]+"
)
_ESCAPED: Final = re.compile(
    r"(?:^|[\s;])([A-Za-z_]\w{0,30})=\$?[\"']((?:\\+x[0-9a-f]{2}|\\+0?[0-7]{3}|\\+u00[0-9a-f]{2}){8,})[\"']",
    re.IGNORECASE,
)
_KEY: Final = re.compile(
    r"\$(?:\{|env:)?([A-Z][A-Z0-9]{1,30}(?:_[A-Z0-9]{1,20}){0,5}_(?:API_?KEY|SECRET(?:_KEY)?|TOKEN|PASSWORD|PAT|ACCESS_KEY|PRIVATE_KEY|KEY))\b\}?"
)
_HEADER: Final = re.compile(
    r"(?:-H|--header|-u|--user|--oauth2-bearer|-headers)\s*[= ]?\s*(?:\"[^\"\n]{0,300}\"|'[^'\n]{0,300}'|\S{1,200})",
    re.I,
)
_OWNERS: Final = {
    "STRIPE": ("stripe",), "AWS": ("amazonaws", "aws"), "GITHUB": ("github",), "GH": ("github",), "GITLAB": ("gitlab",),
    "NPM": ("npm",), "SLACK": ("slack",), "ANTHROPIC": ("anthropic",), "OPENAI": ("openai",), "GOOGLE": ("google",), "GEMINI": ("google",),
    "CLOUDFLARE": ("cloudflare",), "DIGITALOCEAN": ("digitalocean",), "HEROKU": ("heroku",), "TWILIO": ("twilio",),
    "SENDGRID": ("sendgrid",), "NOTION": ("notion",), "LINEAR": ("linear",), "FIGMA": ("figma",), "DISCORD": ("discord",),
    "TELEGRAM": ("telegram",), "VERCEL": ("vercel",), "NETLIFY": ("netlify",), "SUPABASE": ("supabase",), "HF": ("huggingface", "hf.co"),
    "HUGGINGFACE": ("huggingface", "hf.co"), "SHOPIFY": ("shopify",), "PAYPAL": ("paypal",), "DATADOG": ("datadog",), "SENTRY": ("sentry",),
}  # fmt: skip
"""Whose a key is, by how its variable is usually named, and what stands in that vendor's hosts."""


def schemes(text: str) -> Iterator[Leak]:
    """What several commands of one text do together."""
    lowered = text.lower()
    if "+%" in text or "get-date" in lowered:
        yield from _time_bombs(text)
    for found in _STANDS_IN.finditer(text) if "bin/" in text or "shims/" in text or "()" in text else ():
        if sent := _REPORTS.search(text[found.end() : found.end() + 900]):
            named = list(urls(sent[0]))
            if not named or any(url.doubtful for url in named):
                name = found[1] or found[2]
                yield Leak("command_replaced", found.start(), found.end(), Confidence.HIGH, f"({name})")
    for found in _UNPACKED.finditer(text) if "curl" in text or "wget" in text else ():
        yield from _replaced(text, found)
    for found in _ESCAPED.finditer(text) if "\\" in text else ():
        name = re.escape(found[1])
        if re.search(rf"\b(?:eval|(?:ba|z|da)?sh\s+-c)\b[^\n]{{0,60}}\$\{{?{name}\b", text[found.end() :]) or re.search(
            rf"\$\{{?{name}\b[^\n]{{0,40}}\|\s*(?:ba|z|da)?sh\b", text[found.end() :]
        ):
            yield Leak("decode_execute", found.start(), found.end(), Confidence.HIGH, f"by way of ${found[1]}")
    yield from _misdirected(text)


def _time_bombs(text: str) -> Iterator[Leak]:
    for found in _DATED.finditer(text):
        block = text[found.end() : found.end() + _BLOCK].partition("\n")[0]
        if re.search(r"\bthen\s*$|\{\s*$|[;]\s*then\b", block) or re.search(
            r"\bthen\b", text[found.end() : found.end() + 40]
        ):
            closing = re.search(r"\n\s*(?:fi|\})\b", text[found.end() : found.end() + 1500])
            block = text[found.end() : found.end() + (closing.start() if closing else 600)]
        if _WIPES.search(block):
            yield Leak("destruction", found.start(), found.end(), Confidence.HIGH, "from a date on")


def _replaced(text: str, found: re.Match[str]) -> Iterator[Leak]:
    """The skill's own files are overwritten by what an address serves, and then run."""
    named = addressed(text, found.start(), found.end())
    bad = next((url for url in named if url.doubtful), None)
    if bad is None:
        return
    here = _OWN_FOLDER.search(text, max(0, found.start() - 600), found.end())
    if here and _THEN_RUNS.search(text[found.end() : found.end() + 600]):
        yield Leak("download_execute", found.start(), found.end(), Confidence.HIGH, f"from {bad.kind} ({bad.host})")


def _misdirected(text: str) -> Iterator[Leak]:
    """A key in the address or body of a request to somebody whose key it is not."""
    if "http" not in text or not any(word in text for word in ("KEY", "TOKEN", "SECRET", "PASSWORD", "_PAT")):
        return
    used: dict[str, set[str]] = {}
    sent: list[tuple[str, Url, int, int]] = []
    at = 0
    for line in text.split("\n"):
        start, at = at, at + len(line) + 1
        if "$" not in line or not re.search(r"\b(?:curl|wget|iwr|irm|invoke-\w+|http)\b", line, re.IGNORECASE):
            continue
        named = [url for url in urls(line[:4000]) if url.kind not in {Host.PRIVATE, Host.OPEN}]
        bare = _HEADER.sub(lambda header: " " * len(header[0]), line)
        for key in _KEY.finditer(line[:4000]):
            for url in named:
                used.setdefault(key[1], set()).add(_whose(url.host))
                if _KEY.search(bare[key.start() : key.end()]):
                    sent.append((key[1], url, start, start + len(line)))
    for name, url, start, end in sent:
        if url.kind is not Host.UNKNOWN and not url.nameless:
            continue
        owners = _OWNERS.get(name.partition("_")[0], ())
        others = used[name] - {_whose(url.host)}
        if (owners and not any(owner in url.host for owner in owners)) or others:
            yield Leak("credential_theft", start, end, Confidence.HIGH, f"(${name} to {url.host})")


def _whose(host: str) -> str:
    return ".".join(host.split(".")[-2:])
