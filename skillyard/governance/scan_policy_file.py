"""The scan policy as a file: YAML that people write, every field typed, every error with its line.

Read as strictly as a manifest (no anchors, tags or merge keys), all of it or nothing. ``PolicyFile`` is what it may
say; ``docs/reference/scan-policy.md`` is written from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from skillyard.governance.errors import PolicyFileError
from skillyard.governance.report import Severity
from skillyard.skills.errors import SkillError
from skillyard.skills.frontmatter import Fields, Items, Node, Text, YamlKind, parse_yaml

VERSION = "1"
MAX_BYTES = 256 * 1024
_MAX_NODES = 20_000
_LONGEST_REASON = 200

Level = Literal["pass", "flag", "block", "indeterminate"]
RuleName = Annotated[str, Field(pattern=r"^[a-z0-9]+([_./:-][a-z0-9]+)*$", max_length=100)]
Name = Annotated[str, Field(min_length=1, max_length=214)]


class PolicyFile(BaseModel):
    """What the file may say. What it leaves out stays as settings and defaults have it."""

    # Every scalar of the file is text, so numbers are read from text; ``frozen`` because it is a value.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    version: Literal["1"] = Field(description='`"1"`.')
    block_at: Severity = Field(
        default=Severity.HIGH,
        description="The mildest severity of an advisory that BLOCKs: `critical`, `high`, `medium` or `low`. A milder "
        "one FLAGs. An unknown severity counts as `high`.",
    )
    block_at_cvss: float | None = Field(
        default=None,
        ge=0,
        le=10,
        description="An advisory whose CVSS base score is this or higher BLOCKs too, whatever its severity is called.",
    )
    block_known_exploited: bool = Field(
        default=False,
        description="`true`: an advisory that CISA's catalogue lists as exploited BLOCKs too. Needs that catalogue in "
        "the advisory index.",
    )
    max_age_days: float | None = Field(
        default=None,
        gt=0,
        le=36_500,
        description="The oldest advisory data a verdict may rest on, in days; older is INDETERMINATE. Left out: the "
        "setting `advisories_max_age_days`.",
    )
    rules: dict[RuleName, Level] = Field(
        default_factory=dict,
        max_length=1000,
        description="Rule → `pass`, `flag`, `block` or `indeterminate`, in the place of what its scanner says, "
        "for all findings of the rule, however sure they are. A finding that passes is still listed. "
        "Records of malware BLOCK whatever is written here.",
    )
    required_scanners: tuple[Name, ...] = Field(
        default=(),
        max_length=100,
        description="Scanners without whose evidence a report is INDETERMINATE, for example a plug-in of your own.",
    )
    scanner_timeout: float = Field(
        default=120.0, gt=0, le=3600, description="Time limit of each scanner, in seconds; beyond it, INDETERMINATE."
    )
    private_names: tuple[Name, ...] = Field(
        default=(),
        max_length=1000,
        description="Patterns of package names (`*` stands for any text) that only your own index may have: one that "
        "comes from a public index is dependency confusion.",
    )
    known_names: tuple[Name, ...] = Field(
        default=(),
        max_length=10_000,
        description="Package names that are never taken for a misspelt popular one.",
    )
    minimum_release_age_days: float = Field(
        default=0.0,
        ge=0,
        le=3650,
        description="How old a release has to be, in days. Releases are picked by the setting "
        "`minimum_release_age_days`, which this is when left out; to ask for more than that setting is INDETERMINATE, "
        "because a lock has no dates.",
    )

    @field_validator("block_at")
    @classmethod
    def _known_severity(cls, value: Severity) -> Severity:
        if value is Severity.UNKNOWN:
            raise ValueError("unknown severity counts as high, and is no threshold")
        return value


def read_policy_file(path: Path) -> PolicyFile:
    """Blocks on disk. Raises ``PolicyFileError``."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PolicyFileError(f"cannot be read: {error.strerror}", file=str(path)) from error
    try:
        return parse_policy_file(data.decode("utf-8-sig"), file=str(path))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PolicyFileError("is not UTF-8 text", file=str(path), line=line) from error


def parse_policy_file(text: str, *, file: str) -> PolicyFile:
    """Raises ``PolicyFileError`` that names the first field which is wrong, and its line."""
    kind = YamlKind(file, "a scan policy", MAX_BYTES, _MAX_NODES)
    try:
        document = parse_yaml(text, kind=kind)
    except SkillError as error:
        raise PolicyFileError(error.message, file=error.file, line=error.line, field=error.field) from error
    try:
        policy = PolicyFile.model_validate(_plain(document))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = first["loc"]
        field = ".".join(str(part) for part in place if part != "[key]")
        raise PolicyFileError(
            _words(first["type"], first["msg"]), file=file, line=_line(document, place), field=field[:_LONGEST_REASON]
        ) from error
    if policy.rules:
        # Only here, because most policies name no rule, and knowing all of them means to import every detector.
        from skillyard.governance.rule_catalogue import first_unknown  # noqa: PLC0415

        if (unknown := first_unknown(policy.rules)) is not None:
            rule, problem = unknown
            raise PolicyFileError(problem, file=file, line=_line(document, ("rules", rule)), field=f"rules.{rule}")
    return policy


def _words(kind: str, message: str) -> str:
    known = {
        "extra_forbidden": f"is no field of a scan policy; known are {', '.join(sorted(PolicyFile.model_fields))}",
        "missing": "is missing",
    }
    return known.get(kind, message.removeprefix("Value error, "))


def _plain(node: Node) -> object:
    match node:
        case Text():
            return node.value
        case Items():
            return [_plain(item) for item in node.items]
        case Fields():
            return {key: _plain(value) for key, value in node.fields.items()}


def _line(node: Node, place: tuple[int | str, ...]) -> int:
    """The line of the innermost part of a place that the file has."""
    line = node.line
    for part in place:
        if isinstance(node, Fields) and part in node.fields:
            line, node = node.lines[str(part)], node.fields[str(part)]
        elif isinstance(node, Items) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
            line = node.line
        else:
            break
    return line
