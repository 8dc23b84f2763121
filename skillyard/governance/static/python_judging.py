"""How bad a flow is: by where what is executed came from, and by where secrets go."""

from __future__ import annotations

import re

from skillyard.governance.report import Confidence, Verdict
from skillyard.governance.static import python_names as names
from skillyard.governance.static import python_rules as rules
from skillyard.governance.static.python_call import Call, addresses
from skillyard.governance.static.python_flow import Flow
from skillyard.governance.static.python_report import Report
from skillyard.governance.static.python_values import UNKNOWN, Tag, Value
from skillyard.governance.static.urls import Host, Url, urls


def was_downloaded(flow: Flow, path: Value) -> Value | None:
    for text in path.texts:
        kept = flow.program.written.get(text)
        if kept is not None and kept.tags & {Tag.NETWORK, Tag.DECODED}:
            return kept
    return None


def ran_download(report: Report, call: Call, value: Value) -> None:
    if Tag.DECODED in value.tags and Tag.NETWORK not in value.tags and Tag.DOWNLOADED not in value.tags:
        report.hit(rules.DECODED_EXECUTED, call, "as a program")
        return
    judged = [url for text in value.urls for url in urls(text)]
    vouched = bool(judged) and all(not url.doubtful for url in judged)
    unknown = not judged
    level = Verdict.FLAG if vouched or unknown else None
    report.hit(
        rules.DOWNLOADED_EXECUTED,
        call,
        origin(value),
        level=level,
        confidence=Confidence.MEDIUM if level else Confidence.HIGH,
    )


def told_secret(report: Report, call: Call, secret: frozenset[Tag], held: Value, *, direct: bool) -> None:
    judged = [url for text in addresses(call) | held.urls for url in addressed(text)]
    local = bool(judged) and all(url.kind is Host.PRIVATE for url in judged)
    level = Verdict.FLAG if local or names.is_storage(call.symbol) else None
    if Tag.ENVIRONMENT in secret:
        report.hit(rules.ENVIRONMENT_SENT, call, level=level)
    if Tag.PRIVATE in secret:
        report.hit(rules.SECRETS_SENT, call, "(keys, histories, wallets or a browser's data)", level=level)
    elif secret & {Tag.VENDOR, Tag.GENERIC}:
        own = bool(judged) and all(
            url.kind in {Host.API, Host.PRIVATE, Host.INSTALLER, Host.REPOSITORY} for url in judged
        )
        report.hit(
            rules.SECRETS_SENT if not own else rules.CREDENTIAL_USED, call, level=level if direct or level else None
        )


def addressed(text: str) -> list[Url]:
    found = list(urls(text))
    if found or "." not in text or "/" in text:
        return found
    return list(urls(f"https://{text}/"))


def sends(text: str) -> bool:
    return (
        re.search(r"(?:-d|--data\S*|-F|--form|-T|--upload-file|--post-file\S*)[ =]|\bscp\b|\brsync\b|<", text)
        is not None
    )


def origin(value: Value) -> str:
    known = sorted(url for url in value.urls if url.strip(UNKNOWN))
    return f"from {known[0][:80].replace(UNKNOWN, '…')}" if known else ""
