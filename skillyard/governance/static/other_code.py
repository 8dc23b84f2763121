"""Ruby, PHP, Perl, Go, Rust, Lua, Java and C#: secrets that meet a way out, and answers that run.

These languages are rare in skills and are not followed as Python and JavaScript are: what counts is that one file reads
what belongs to others and sends something to a host that nobody vouches for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from skillyard.governance.report import Confidence, Severity, Verdict
from skillyard.governance.static.hit import Hit, Shown
from skillyard.governance.static.python_judging import addressed
from skillyard.governance.static.python_paths import secrets_at
from skillyard.governance.static.python_values import Tag
from skillyard.governance.static.rule import Rule
from skillyard.governance.static.urls import Host, urls
from skillyard.governance.static.view import View

_SUFFIXES: Final = frozenset(
    {".rb", ".php", ".pl", ".pm", ".go", ".rs", ".lua", ".java", ".kt", ".cs", ".swift", ".r", ".jl", ".ex", ".exs"}
)
SECRETS_SENT: Final = Rule(
    id="code_secrets_sent",
    title="a program reads secrets and sends something",
    severity=Severity.CRITICAL,
    level=Verdict.BLOCK,
    why="Keys, tokens or the whole environment of whoever runs the skill go to somebody else.",
    fix="Read the one setting that is needed, and send it only to the service that it belongs to.",
)
ANSWER_RUN: Final = Rule(
    id="code_answer_run",
    title="a program runs what an address answers",
    severity=Severity.CRITICAL,
    level=Verdict.BLOCK,
    why="Whoever controls the address decides what runs, today and at any later time.",
    fix="Ship the code with the skill.",
)
RULES: Final = (SECRETS_SENT, ANSWER_RUN)

_SENDS: Final = re.compile(
    r"Net::HTTP|URI\.open|\bopen-uri\b|Faraday|HTTParty|RestClient|TCPSocket|curl_exec|file_get_contents\(\s*[\"']?(?:https?:|\$)|fsockopen|stream_socket_client|Guzzle"
    r"|LWP::|HTTP::Tiny|IO::Socket|Mojo::UserAgent|http\.(?:Post|Get|NewRequest|PostForm|Client)|net\.Dial|reqwest|ureq|hyper::|TcpStream|socket\.http|HttpClient|HttpURLConnection|WebClient|URLSession|httr::|HTTPoison|Req\.(?:post|get)"
)
_ENVIRONMENT: Final = re.compile(
    r"\bENV\.(?:select|to_h|map|each|filter|inspect|to_a|to_hash|collect|reject|grep)|\bENV\s*\.(?:to_json)|(?:values|keys|each|map|grep[^;\n]{0,60})\s*%ENV|\\%ENV|\bgetenv\(\s*\)|(?:json_encode|http_build_query|serialize|print_r)\(\s*\$_(?:ENV|SERVER)"
    r"|foreach\s*\(\s*\$_ENV|os\.Environ\(\)|env::vars\(|System\.getenv\(\s*\)|GetEnvironmentVariables\(|ProcessInfo\.processInfo\.environment\s*(?:$|[^\[\s])|Sys\.getenv\(\s*\)|System\.get_env\(\s*\)"
)
_LITERAL: Final = re.compile(r"\"([^\"\n]{3,200})\"|'([^'\n]{3,200})'")
_ANSWER: Final = re.compile(
    r"\b(?:eval|instance_eval|class_eval|system|exec|load|shell_exec|passthru|assert|include|require)\b\s*\(?\s*(?:Net::HTTP|URI\.(?:open|parse)|URI\(|open\(\s*[\"']https?:|HTTParty|RestClient|file_get_contents\(\s*[\"']?https?:|get\(\s*[\"']https?:|curl_exec|loadstring\(\s*http)"
    r"|(?:loadstring|load)\(\s*(?:http|game:HttpGet)"
)


def detect(view: View) -> Iterator[Shown]:
    """What one program of these languages does."""
    if view.via or PurePosixPath(view.file.lower()).suffix not in _SUFFIXES or len(view.text) > 300_000:
        return
    named = list(urls(view.text))
    named = named or [url for one in _LITERAL.finditer(view.text) for url in addressed(one[1] or one[2])]
    unknown = [
        url for url in named if url.kind not in {Host.API, Host.PRIVATE, Host.INSTALLER, Host.REPOSITORY, Host.OPEN}
    ]
    for found in _ANSWER.finditer(view.text):
        level = None if unknown else Verdict.FLAG
        yield Hit(ANSWER_RUN, view, view.line(found.start()), view.line_text(found.start()), "", Confidence.HIGH, level)
    if not _SENDS.search(view.text) or not unknown:
        return
    found_at = _ENVIRONMENT.search(view.text)
    offset = found_at.start() if found_at else _secret(view.text)
    if offset is not None:
        yield Hit(
            SECRETS_SENT, view, view.line(offset), view.line_text(offset), f"to {unknown[0].host}", Confidence.MEDIUM
        )


def _secret(text: str) -> int | None:
    for found in _LITERAL.finditer(text):
        if secrets_at(found[1] or found[2]) & {Tag.PRIVATE, Tag.VENDOR}:
            return found.start()
    return None
