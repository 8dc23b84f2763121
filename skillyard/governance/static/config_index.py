"""Where packages are installed from: options, settings and variables that name an index, and packages by address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from skillyard.governance.report import Confidence
from skillyard.governance.static.config_rules import RULES
from skillyard.governance.static.hit import Hit
from skillyard.governance.static.urls import Host, Url, urls
from skillyard.governance.static.view import Language, View
from skillyard.governance.static.words_context import place

_KNOWN: Final = re.compile(
    r"(?:^|\.)(?:pypi\.org|pythonhosted\.org|npmjs\.org|npmjs\.com|yarnpkg\.com|npm\.pkg\.github\.com|download\.pytorch\.org|pypi\.nvidia\.com|nvidia\.com|rubygems\.org"
    r"|jsr\.io|npm\.jsr\.io|conda\.anaconda\.org|wheels\.vllm\.ai|data\.pyg\.org|proxy\.golang\.org|crates\.io|buf\.build|googleapis\.com|github\.io)$"
)
_HOSTED: Final = re.compile(
    r"(?:^|\.)(?:pkg\.dev|jfrog\.io|amazonaws\.com|azure\.com|gitlab\.com|fury\.io|cloudsmith\.io|gemfury\.com|visualstudio\.com|tuna\.tsinghua\.edu\.cn|aliyun\.com|douban\.com|tencent\.com"
    r"|huaweicloud\.com|ustc\.edu\.cn|npmmirror\.com|taobao\.org|bfsu\.edu\.cn|sjtu\.edu\.cn)$"
)
_INDEX: Final = re.compile(
    r"(?:--(?:extra-)?index-url|--index|--default-index|--find-links|--registry)[=\s\"',]{1,6}(?=https?:)"
    r"|\bpip3?[\"',\s]{1,4}install\b[^\n]{0,200}\s-i\s+(?=https?:)"
    r"|\b(?:extra[-_])?index[-_]url\s*[=:]\s*[\"']?(?=https?:)"
    r"|\b(?:PIP_(?:EXTRA_)?INDEX_URL|UV_(?:EXTRA_)?INDEX(?:_URL)?|UV_DEFAULT_INDEX|PIP_FIND_LINKS|NPM_CONFIG_REGISTRY|npm_config_registry|YARN_REGISTRY|YARN_NPM_REGISTRY_SERVER|POETRY_REPOSITORIES_\w+_URL)[\"']?\]?\s*[=:,]\s*[\"']?(?=https?:)"
    r"|\b(?:config\s+set\s+(?:--\w+\s+)*(?:global\.|user\.|site\.)?(?:extra-)?(?:index-url|registry|npmRegistryServer))[\s=\"']+(?=https?:)"
    r"|(?m:^[ \t]*(?:@[\w-]+:)?registry[ \t]*[= ][ \t]*[\"']?)(?=https?:)|\bnpmRegistryServer:\s*[\"']?(?=https?:)",
    re.IGNORECASE,
)
_INDEX_WORDS: Final = (
    "index",
    "registry",
    "find-links",
    "find_links",
    "pip install",
    "pip3 install",
    "poetry",
    "npmregistry",
    "source]]",
)
_TABLE: Final = re.compile(
    r"\[\[(?:tool\.uv\.index|tool\.poetry\.source|tool\.pdm\.source|source|index)\]\][^\[]{0,300}?\burl\s*=\s*[\"'](?=https?:)"
)
_UNCHECKED: Final = re.compile(
    r"--trusted-host[=\s\"',]+\S|(?m:^[ \t]*trusted-host[ \t]*=[ \t]*\S)|PIP_TRUSTED_HOST\s*=|\bconfig\s+set\s+(?:--\w+\s+)*(?:global\.|user\.|site\.)?trusted-host\s+\S|\bconfig\s+set\s+(?:-g\s+|--\w+\s+)*(?:strict-ssl\s*=?\s*false|enableStrictSsl\s+false)|\bUV_INSECURE_HOST\s*=|\bGOINSECURE\s*=|\bGONOSUM(?:DB|CHECK)\s*=|\bGOFLAGS\s*=\s*[\"']?[^\n\"']{0,60}-insecure|strict-ssl\s*=\s*false|--allow-insecure-host|NODE_TLS_REJECT_UNAUTHORIZED[\"']?\s*[=:]\s*[\"']?0",
    re.IGNORECASE,
)
_BY_ADDRESS: Final = re.compile(
    r"\b(?:pip3?|uv|pipx|npm|yarn|pnpm|npx|bun|gem|uvx)(?:\.exe)?[\"',\s]{1,5}(?:pip[\"',\s]{1,4})?(?:install|add|i|dlx|exec|--yes|-y|--from)\b[^\n|;&]{0,200}?[\s\"'@]((?:git\+)?https?://[^\s\"'`,;)\]]{4,300})",
    re.IGNORECASE,
)
_REQUIRED: Final = re.compile(r"(?m)^[ \t]*(?:[\w.\[\]-]+[ \t]*@[ \t]*)?((?:git\+)?https?://[^\s;#]{4,300})")
_NODE_DEPENDENCY: Final = re.compile(
    r"\"[@\w./-]{1,100}\"\s*:\s*\"((?:git\+)?https?://[^\"\s]{4,300}(?:\.tgz|\.tar\.gz|\.git)[^\"]{0,60})\""
)
_VERSION: Final = re.compile(
    r"\"[@\w./-]{2,100}\"\s*:\s*\"[\^~>=v ]{0,4}(9{2,6})\.\d|(?m:^[ \t]*-?[ \t]*[\"']?[A-Za-z][\w.\[\]-]{1,80}\s*[=~>]=\s*(9{2,6})(?:\.\d))"
)


def detect(view: View) -> Iterator[Hit]:
    """Indexes other than the usual, and packages that come from an address."""
    text = view.text
    lowered = text.lower()
    for pattern in (_INDEX, _TABLE) if "http" in lowered and any(word in lowered for word in _INDEX_WORDS) else ():
        for found in pattern.finditer(text):
            named = next(iter(urls(text, found.end(), found.end() + 300)), None)
            if named:
                yield from _index(view, found.start(), named)
    if any(word in lowered for word in ("trusted", "strict-ssl", "strictssl", "insecure", "gonosum", "reject_unauth")):
        yield from _unchecked(view)
    if "http" in lowered:
        yield from _packages(view)
    if view.language is Language.CONFIG or "requirements" in view.file:
        for found in _VERSION.finditer(text):
            nines = found[1] or found[2]
            sure = Confidence.HIGH if len(nines) > 2 else Confidence.LOW
            yield Hit(RULES["absurd_version"], view, view.line(found.start()), found[0], f"({nines})", sure)


def _index(view: View, at: int, url: Url) -> Iterator[Hit]:
    if _KNOWN.search(url.host) and url.secure:
        return
    line = view.line_text(at)
    private = url.kind in {Host.PRIVATE, Host.OPEN}
    rule = "other_index"
    if not private and (url.kind is Host.RAW_IP or not url.secure or url.nameless):
        rule = "index_redirect"
    confidence = Confidence.MEDIUM if _HOSTED.search(url.host) or private else Confidence.HIGH
    if _HOSTED.search(url.host) and rule == "index_redirect":
        rule = "other_index"  # a well-known mirror, though without encryption
    if place(view, at, at + 1).discussed:
        confidence = Confidence.LOW
    yield Hit(RULES[rule], view, view.line(at), line, f"({url.host})", confidence)


def _unchecked(view: View) -> Iterator[Hit]:
    """The certificate of an index that is not this network's own is not to be checked."""
    for found in _UNCHECKED.finditer(view.text):
        first = max(0, found.start() - 600)
        around = view.text[first : found.end() + 300]
        named = [
            url for url in urls(around) if not _KNOWN.search(url.host) and url.kind not in {Host.PRIVATE, Host.OPEN}
        ]
        redirected = [url for url in named if not _HOSTED.search(url.host)] and _INDEX.search(around)
        sure = Confidence.HIGH if redirected else Confidence.LOW
        if place(view, found.start(), found.end()).discussed:
            sure = Confidence.LOW
        line = view.line_text(found.start())
        yield Hit(
            RULES["index_redirect"], view, view.line(found.start()), line, "whose certificate is not checked", sure
        )
        return


def _packages(view: View) -> Iterator[Hit]:
    patterns = [_BY_ADDRESS]
    name = view.file.rpartition("/")[2].lower()
    if re.fullmatch(r"(?:requirements|constraints)[\w.-]*\.(?:txt|in)", name):
        patterns.append(_REQUIRED)
    if name == "package.json":
        patterns.append(_NODE_DEPENDENCY)
    for pattern in patterns:
        for found in pattern.finditer(view.text):
            before = view.text[max(0, found.start(1) - 40) : found.start(1)]
            if re.search(r"(?:index-url|registry|--index|-i|find-links|proxy|default-index)[=\s\"',]*$", before):
                continue
            url = next(iter(urls(found[1].removeprefix("git+"))), None)
            if (
                url is None
                or url.kind in {Host.REPOSITORY, Host.INSTALLER, Host.PRIVATE, Host.OPEN, Host.API}
                or _KNOWN.search(url.host)
            ):
                continue
            bad = url.nameless or not url.secure
            sure = Confidence.HIGH if bad else Confidence.MEDIUM
            if place(view, found.start(1), found.end(1)).discussed:
                sure = Confidence.LOW
            rule = RULES["url_install" if bad else "url_dependency"]
            yield Hit(rule, view, view.line(found.start(1)), found[0], f"({url.host})", sure)
