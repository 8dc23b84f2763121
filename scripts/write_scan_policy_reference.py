"""Writes ``docs/reference/scan-policy.md`` from the model that reads the file (``make reference``).

It is committed, because people read it on the web; a test fails when it is not what this writes.
"""

from __future__ import annotations

from pathlib import Path

from pydantic_core import PydanticUndefined
from skillyard.governance.scan_policy_file import MAX_BYTES, PolicyFile

PAGE = Path(__file__).resolve().parent.parent / "docs/reference/scan-policy.md"

EXAMPLE = """\
version: "1"
block_at: high
block_at_cvss: 8.0
block_known_exploited: true
max_age_days: 3
rules:
  undeclared_import: block
  advisory_undetermined: flag
  acme-scan:left_pad: flag
required_scanners: [acme-scan]
private_names: ["acme-*", "@acme/*"]
known_names: [reqests-mock-acme]
minimum_release_age_days: 7
"""

_PAGE = """\
# The scan policy

What findings do to a verdict, how old advisory data may be, and what scanners are asked to look for: a YAML file that
the setting `SKILLYARD_SCAN_POLICY` names, or `skillyard scan --policy FILE` for one scan. Without one, the settings and
the defaults below are the policy. This page is written by `make reference` from the model that reads the file.

```yaml
{example}```

## Fields

Everything but `version` may be left out. A file has at most {size} KiB.

| field | default | meaning |
| --- | --- | --- |
{fields}

## How it is read

- **Strictly.** Anchors, aliases, tags, merge keys and fields that are not known are refused.
- **Whole or not at all.** An error names the file, the line and the field. A file that is missing or wrong is an error
  too: a server does not start with it, and nothing is scanned by the default in its place.
- **Rules** are those of [the scan rules](scan-rules.md). A rule of our own that does not exist is refused, because a
  misspelt one would do nothing; rules of a plug-in are written `plug-in:rule` and taken as they are.

## When it changes

Levels are computed from the findings that a report keeps, whenever the report counts. So a policy that changes its
thresholds or the levels of rules judges everything that is installed anew at the next start, without a scan. What it
asks of *scanners* is another matter: a report that was made without `private_names` or `minimum_release_age_days`
cannot tell, so the verdict is INDETERMINATE until the skill is scanned again, which `skillyard advisories update` does
for all. Every report says by which policy it was judged, in `policy` (a digest over all of it), and what the scanners
were asked, in `asked`.

Whatever a policy says: a record of a malicious package (`MAL-…`) BLOCKs, and evidence that is missing, failed or too
old is INDETERMINATE.
"""


def page() -> str:
    """The text of ``docs/reference/scan-policy.md``."""
    rows = [
        f"| `{name}` | {_default(field.get_default(call_default_factory=True))} | {field.description} |"
        for name, field in PolicyFile.model_fields.items()
    ]
    return _PAGE.format(example=EXAMPLE, size=MAX_BYTES // 1024, fields="\n".join(rows))


def _default(value: object) -> str:
    if value is PydanticUndefined or value is None:
        return "required" if value is PydanticUndefined else "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "none" if value in ((), {}) else f"`{value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
