"""Writes ``docs/reference/rules-file.md`` from the fields that the code knows (``make reference``).

It is committed, because people read it on the web; a test fails when it is not what this writes.
"""

from __future__ import annotations

from pathlib import Path

from skillyard.governance.rules_file import FIELDS, MAX_BYTES, MAX_RULES, VERSION

PAGE = Path(__file__).resolve().parent.parent / "docs/reference/rules-file.md"

EXAMPLE = f"""\
version: "{VERSION}"
rules:
  - ecosystem: pypi
    name: pandas
    versions: ">=2,<3"
    state: approved
    min_maturity: INTERN
    reason: Reviewed by the data team.
    expires: 2027-06-30T00:00:00+00:00
  - ecosystem: npm
    name: "@scope/left-pad"
    versions: ^1.2.0 || ~2.1
    state: approved
    min_maturity: SUPERVISED
  - ecosystem: pypi
    name: evil
    state: banned
    reason: It reads credentials and sends them away.
"""

_PAGE = """\
# The rules file

Package rules as YAML: to keep them in version control, to look at a change before it is made, to carry them to another
workspace or server. `skillyard packages export FILE` writes one, `skillyard packages import FILE` brings one in. This
page is written by `make reference` from the code that reads the file. How rules work together is in
[Govern packages](../how-to/govern-packages.md).

```yaml
{example}```

## Fields

`version` is `"{version}"`, and `rules` a list of up to {rules:,} rules. A file has at most {size} MiB.

| field of a rule | needed | meaning |
| --- | --- | --- |
{fields}

A file is about one scope: the workspace's own rules, or with `--global` those of the whole instance. Which of the two
is said when it is brought in, not in the file.

## How it is read

- **Strictly.** Every value is text, as written: `1.10` stays `1.10`. Anchors, aliases, tags, merge keys, fields that
  are not known and rules that say the same twice are refused.
- **Whole or not at all.** An error names the file, the line and the field, and nothing has changed.
- **What was exported changes nothing** where it came from, however often it is brought in.

## How it is brought in

| mode | what the file mentions | everything else |
| --- | --- | --- |
| `merge` (default) | For each ecosystem, name, versions and state in the file, the file is right: other rules for the \
same four end. What an approval request made stays. | stays |
| `replace` | as the file says | ends |
| `add` | is added where it is not there | stays |

`--dry-run` changes nothing. It shows which rules would be added and ended, for which installed versions and maturities
the decision would be another, and which agents have those maturities.
"""


def page() -> str:
    """The text of ``docs/reference/rules-file.md``."""
    fields = "\n".join(f"| `{field.name}` | {field.needed} | {field.meaning} |" for field in FIELDS)
    size = MAX_BYTES // 1024 // 1024
    return _PAGE.format(example=EXAMPLE, version=VERSION, rules=MAX_RULES, size=size, fields=fields)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
