"""The rules file: package rules of one scope as YAML, to be read, kept in version control and brought in elsewhere.

``FIELDS`` says what a rule may say; ``docs/reference/rules-file.md`` is written from it. The file is read as strictly
as a manifest is (every value is text, no anchors, tags or merge keys), all of it or nothing, and every error names its
line. What is written is what is read: a file that was exported changes nothing where it came from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from skillyard.governance.decision import PackageRule, RuleState
from skillyard.governance.errors import RuleError
from skillyard.governance.rule_plan import content
from skillyard.governance.rules import RuleDraft, draft_approval, draft_ban
from skillyard.skills.errors import SkillError
from skillyard.skills.frontmatter import Fields, Items, Node, Text, YamlKind, parse_yaml

VERSION = "1"
MAX_BYTES = 4 * 1024 * 1024
MAX_RULES = 10_000
_MAX_NODES = 500_000
_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class FieldOfRule:
    """One field of a rule: its name, which rules have it, and what it says."""

    name: str
    needed: str
    meaning: str


FIELDS = (
    FieldOfRule("ecosystem", "always", "`pypi` or `npm`."),
    FieldOfRule("name", "always", "The package's name, in any spelling its ecosystem takes for the same."),
    FieldOfRule(
        "versions", "no", "A PEP 440 specifier, or an npm range. Left out, empty and `*` all mean every version."
    ),
    FieldOfRule("state", "always", "`approved` or `banned`."),
    FieldOfRule(
        "min_maturity",
        "for `approved`, and only there",
        "The least mature agents it is for: `STUDENT`, `INTERN`, `SUPERVISED` or `AUTONOMOUS`.",
    ),
    FieldOfRule("reason", "for `banned`", "Why, in up to 2000 characters. Whoever is refused reads it."),
    FieldOfRule(
        "expires",
        "no",
        "When the rule ends by itself: a date and time with a zone (ISO 8601). One that lies in the past is taken, and "
        "counts as a rule that has ended.",
    ),
    FieldOfRule(
        "hashes",
        "no, and only for `approved`",
        "A list of SHA-256, 64 lower-case hexadecimal digits each: the files that the approval is bound to.",
    ),
)

_KNOWN = frozenset(field.name for field in FIELDS)


def write_rules_file(rules: Iterable[PackageRule]) -> str:
    """The file's text: rules by ecosystem, name and versions; two that say the same are written once."""
    unique = {content(rule): rule for rule in rules}
    ordered = sorted(unique.values(), key=_order)
    lines = [f'version: "{VERSION}"', "rules:" if ordered else "rules: []"]
    for rule in ordered:
        lines += _rule_lines(rule)
    return "\n".join(lines) + "\n"


def read_rules_file(text: str, *, file: str) -> tuple[RuleDraft, ...]:
    """All rules of a file, or an error that names the first line that is wrong. Raises ``RuleError``."""
    kind = YamlKind(file, "a rules file", MAX_BYTES, _MAX_NODES)
    try:
        document = parse_yaml(text, kind=kind)
    except SkillError as error:
        raise RuleError(error.message, file=error.file, line=error.line, field=error.field) from error
    _refuse_unknown(document, frozenset({"version", "rules"}), file)
    if _text(document, "version", file) != VERSION:
        raise RuleError(f"this is not a rules file of version {VERSION}", file=file, line=_line(document, "version"))
    items = document.fields.get("rules")
    if not isinstance(items, Items):
        raise RuleError("must be a list", file=file, line=_line(document, "rules"), field="rules")
    if len(items.items) > MAX_RULES:
        raise RuleError(f"more than {MAX_RULES} rules", file=file, line=items.line, field="rules")
    return _distinct([(_draft(item, file), item.line) for item in items.items], file)


def _distinct(drafts: list[tuple[RuleDraft, int]], file: str) -> tuple[RuleDraft, ...]:
    seen: dict[object, int] = {}
    for draft, line in drafts:
        first = seen.setdefault(content(draft), line)
        if first != line:
            raise RuleError(f"says the same as the rule in line {first}", file=file, line=line)
    return tuple(draft for draft, _ in drafts)


def _draft(item: Node, file: str) -> RuleDraft:
    if not isinstance(item, Fields):
        raise RuleError("a rule is a mapping of fields", file=file, line=item.line)
    _refuse_unknown(item, _KNOWN, file)
    try:
        return _parsed(item, file)
    except RuleError as error:
        if error.line is not None:
            raise
        named = _FIELD_NAMES.get(error.field or "", error.field)
        line = item.lines.get(named or "", item.line)
        raise RuleError(error.message, file=file, line=line, field=named) from error


_FIELD_NAMES = {"specifier": "versions", "expires_at": "expires"}
"""What the fields of rules are called in files."""


def _parsed(item: Fields, file: str) -> RuleDraft:
    state, versions = _text(item, "state", file), _optional(item, "versions", file) or ""
    ecosystem, name = _text(item, "ecosystem", file), _text(item, "name", file)
    reason, expires = _optional(item, "reason", file), _moment(item, file)
    # A rule that has run out is still what its scope says, and a file says all of it. So the clock is set back.
    now = _BEGINNING
    if state == RuleState.APPROVED:
        maturity, hashes = _text(item, "min_maturity", file), _texts(item, "hashes", file)
        return draft_approval(
            ecosystem=ecosystem,
            name=name,
            specifier=versions,
            min_maturity=maturity,
            expires_at=expires,
            reason=reason,
            hashes=hashes,
            now=now,
        )
    if state != RuleState.BANNED:
        raise RuleError("must be approved or banned", field="state")
    for field in ("min_maturity", "hashes"):
        if field in item.fields:
            raise RuleError("a ban has none: it is for everybody, and for all files", field=field)
    if reason is None:
        raise RuleError("a ban needs one", field="reason")
    return draft_ban(ecosystem=ecosystem, name=name, specifier=versions, expires_at=expires, reason=reason, now=now)


def _moment(item: Fields, file: str) -> datetime | None:
    text = _optional(item, "expires", file)
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise RuleError(f"{text[:80]!r} is not a date and time (ISO 8601)", field="expires") from None


def _refuse_unknown(fields: Fields, known: frozenset[str], file: str) -> None:
    for name in fields.fields:
        if name not in known:
            message = f"is no field of this; known are {', '.join(sorted(known))}"
            raise RuleError(message, file=file, line=fields.lines[name], field=name[:80])


def _text(fields: Fields, name: str, file: str) -> str:
    found = _optional(fields, name, file)
    if found is None:
        raise RuleError("is missing", file=file, line=fields.line, field=name)
    return found


def _optional(fields: Fields, name: str, file: str) -> str | None:
    node = fields.fields.get(name)
    if node is None:
        return None
    if not isinstance(node, Text):
        raise RuleError("must be text", file=file, line=fields.lines[name], field=name)
    return node.value


def _texts(fields: Fields, name: str, file: str) -> tuple[str, ...]:
    node = fields.fields.get(name)
    if node is None:
        return ()
    if not isinstance(node, Items):
        raise RuleError("must be a list", file=file, line=fields.lines[name], field=name)
    texts = []
    for item in node.items:
        if not isinstance(item, Text):
            raise RuleError("must be a list of text", file=file, line=item.line, field=name)
        texts.append(item.value)
    return tuple(texts)


def _line(fields: Fields, name: str) -> int:
    return fields.lines.get(name, fields.line)


def _order(rule: PackageRule) -> tuple[object, ...]:
    maturity = -1 if rule.min_maturity is None else int(rule.min_maturity)
    expires = "" if rule.expires_at is None else rule.expires_at.isoformat()
    key = (rule.ecosystem.value, rule.name, rule.specifier, rule.state.value, maturity, expires)
    return (*key, rule.reason or "", sorted(rule.hashes))


def _rule_lines(rule: PackageRule) -> list[str]:
    fields = {"ecosystem": rule.ecosystem.value, "name": rule.name, "versions": rule.specifier or None}
    fields |= {"state": rule.state.value}
    fields |= {"min_maturity": None if rule.min_maturity is None else rule.min_maturity.name, "reason": rule.reason}
    fields |= {"expires": None if rule.expires_at is None else rule.expires_at.isoformat()}
    # JSON's strings are YAML's in double quotes, and a text in quotes is text to every reader.
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items() if value is not None]
    if rule.hashes:
        lines += ["hashes:", *(f'  - "{one}"' for one in sorted(rule.hashes))]
    return [f"  {'-' if place == 0 else ' '} {line}" for place, line in enumerate(lines)]
