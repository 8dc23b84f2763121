"""``report``: the scan report of a version that a server has installed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skillyard.api.schemas.skills import VersionView
from skillyard.cli.client import Server, connected, parsed, quoted
from skillyard.cli.exit_codes import VERDICTS, ExitCode
from skillyard.cli.saved import write_whole
from skillyard.cli.screen import Screen
from skillyard.governance.formats.report_format import ReportFormat
from skillyard.governance.report import Verdict
from skillyard.runtime.values import SkillRef

app = typer.Typer(add_completion=False)


@app.command()
def report(
    skill: Annotated[str, typer.Argument(metavar="SKILL", help="publisher/name, or publisher/name@version.")],
    *,
    form: Annotated[ReportFormat, typer.Option("--format", help="How to write it.")] = ReportFormat.TABLE,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it to this file.")] = None,
    server: Server = None,
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> ExitCode:
    """Show the scan report of an installed skill, as it counts now.

    Exit codes as of scan: 0 for PASS and FLAG, 1 for BLOCK, 3 for INDETERMINATE.
    """
    form = ReportFormat.JSON if json else form
    screen, ref = Screen(json=form is ReportFormat.JSON), SkillRef.parse(skill)
    with connected(server) as client:
        path = f"/v1/skills/{quoted(ref.publisher)}/{quoted(ref.name)}"
        found = parsed(
            VersionView, client.get(path if ref.version is None else f"{path}/versions/{quoted(ref.version)}").value
        )
        content = b"".join(client.download(f"{path}/versions/{quoted(found.version)}/report?format={form.value}"))
    if not content.endswith(b"\n"):
        content += b"\n"
    if output is None and form is ReportFormat.TABLE:
        screen.report(content)
    elif output is None:
        screen.write(content)
    else:
        write_whole(output, [content])
        screen.note(f"wrote {output}")
    return VERDICTS[Verdict[found.report.verdict]]
