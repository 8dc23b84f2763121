"""What every chapter works with: the server, who talks to it, the bundled skills, and the demand that a step did what
it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from skillyard.api.schemas.agents import AgentView
from skillyard.api.schemas.invocations import InvocationView
from skillyard.api.schemas.people import IssuedTokenView, PersonView
from skillyard.cli.answers import LiveOutput
from skillyard.cli.calls import CallInput
from skillyard.cli.client import Client, parsed
from skillyard.cli.demo.containers import Containers
from skillyard.cli.demo.narrator import Narrator
from skillyard.cli.demo.server import DemoServer
from skillyard.cli.exit_codes import RefusedByServerError
from skillyard.cli.invoke import call, call_request
from skillyard.cli.packing import packed
from skillyard.errors import SkillyardError
from skillyard.runtime.values import SkillRef

PUBLISHER = "acme"
REPORT = SkillRef(PUBLISHER, "csv-report")


class StoryError(SkillyardError):
    """A step of the demo did not do what it says."""

    code = "demo_failed"


@dataclass(frozen=True, slots=True)
class Cast:
    """Clients by who they are. Alice owns both agents; Bob is the second person."""

    alice: Client
    bob: Client
    intern: Client
    intern_token: str
    student: Client


@dataclass(slots=True)
class Stage:
    """One telling. ``notes`` are facts that chapters leave for later ones and for the document at the end."""

    server: DemoServer
    cast: Cast
    containers: Containers
    skills: Path
    output: Path
    narrator: Narrator
    notes: dict[str, object] = field(default_factory=dict)

    def require(self, truth: bool, expected: str, found: object) -> None:
        """The step did what it says, or the demo ends here."""
        if not truth:
            raise StoryError(f"expected {expected}, but: {found}")

    def install(self, client: Client, skill: Path, *, upgrade: bool = False) -> object:
        """Send a skill's folder to the server."""
        with packed(str(skill)) as (archive, name):
            path = "/v1/skills/upgrade" if upgrade else "/v1/skills"
            return client.upload(path, archive, name, {"publisher": PUBLISHER}).value

    def report_call(self, client: Client) -> InvocationView:
        """Call csv-report on the bundled CSV."""
        csv = (self.skills / "csv-report" / "assets" / "sample.csv").read_bytes()
        return make_call(client, REPORT, {"csv": "sample.csv"}, {"sample.csv": csv})

    def refused(self, work: str, error: RefusedByServerError, code: str) -> None:
        self.require(error.problem_code == code, f"{work} to be refused as {code}", f"{error.problem_code}: {error}")


def make_call(
    client: Client, skill: SkillRef, arguments: Mapping[str, object], files: Mapping[str, bytes]
) -> InvocationView:
    wanted = CallInput(arguments, (), b"", files)
    silent = LiveOutput(script=False, silent=True, before=lambda: None)
    return call(client, call_request(skill, None, wanted), wanted.files, silent)


def gather(server: DemoServer) -> Cast:
    """Make everybody, each with a token of their own. The first person is who the server's first start made."""
    alice = Client(address=server.url, token=server.token)
    bob = parsed(PersonView, alice.post("/v1/persons", {"name": "bob", "role": "admin"}).value)
    bob_token = _token(alice, {"person": bob.id})
    intern_token = _token(alice, {"agent": _agent(alice, "report-bot", "INTERN")})
    student_token = _token(alice, {"agent": _agent(alice, "homework-bot", "STUDENT")})
    return Cast(
        alice=alice,
        bob=Client(address=server.url, token=bob_token),
        intern=Client(address=server.url, token=intern_token),
        intern_token=intern_token,
        student=Client(address=server.url, token=student_token),
    )


def _agent(alice: Client, name: str, maturity: str) -> int:
    return parsed(AgentView, alice.post("/v1/agents", {"name": name, "maturity": maturity}).value).id


def _token(alice: Client, holder: Mapping[str, int]) -> str:
    return parsed(IssuedTokenView, alice.post("/v1/tokens", {**holder, "name": "demo"}).value).token
