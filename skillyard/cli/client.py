"""The one place that talks to a server: addresses, tokens, time limits, problems, pages, streams."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, TypeVar
from urllib.parse import quote

import httpx
import typer
from pydantic import BaseModel, ValidationError

from skillyard.cli.configuration import settings_for
from skillyard.cli.credentials import Credentials
from skillyard.cli.exit_codes import RefusedByServerError, UsageProblemError
from skillyard.errors import MachineError

Server = Annotated[
    str | None,
    typer.Option("--server", "-s", help="The server's address; default: SKILLYARD_SERVER, else the one of `login`."),
]

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 900.0
"""Longest silence of a server: an upgrade fetches packages, a call may take ten minutes."""

_BYTES = "application/octet-stream"
_PAGE = 200
_MOST_DETAIL = 2000

ModelT = TypeVar("ModelT", bound=BaseModel)


class ServerUnavailableError(MachineError):
    """The server does not answer, or what answers is not a Skillyard."""

    code = "server_unavailable"


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer: its status, and its JSON."""

    status: int
    value: Any  # JSON of any shape; callers validate it with the server's own models


class Client:
    """One server, as one token's holder. Use it as a context manager."""

    def __init__(self, *, address: str, token: str | None) -> None:
        self.address = checked_address(address)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(
            base_url=self.address,
            headers={**headers, "Accept": "application/json"},
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            # A proxy has no business between us and our own machine.
            trust_env=not _is_loopback(httpx.URL(self.address).host),
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, **params: str | int | None) -> Answer:
        return self._send("GET", path, params={name: value for name, value in params.items() if value is not None})

    def post(self, path: str, body: Mapping[str, object] | None = None, *, seconds: float = ANSWER_SECONDS) -> Answer:
        return self._send("POST", path, json=body, timeout=httpx.Timeout(seconds, connect=CONNECT_SECONDS))

    def put(self, path: str, body: Mapping[str, object]) -> Answer:
        return self._send("PUT", path, json=body)

    def send(self, path: str, content: bytes) -> Answer:
        """Bytes, to a place of their own."""
        return self._send("PUT", path, content=content, headers={"Content-Type": _BYTES})

    def delete(self, path: str) -> Answer:
        return self._send("DELETE", path)

    def upload(self, path: str, archive: IO[bytes], name: str, fields: Mapping[str, str]) -> Answer:
        return self._send("POST", path, data=dict(fields), files={"file": (name, archive, "application/octet-stream")})

    def post_file(self, path: str, file: Path) -> Answer:
        """A file as the body, sent as it is read."""
        with file.open("rb") as content:
            return self._send("POST", path, content=content, headers={"Content-Type": _BYTES})

    def pages(self, path: str, model: type[ModelT], **params: str | int | None) -> Iterator[ModelT]:
        """Every item of a list, page by page."""
        cursor: str | None = None
        while True:
            page = self.get(path, cursor=cursor, limit=_PAGE, **params).value
            yield from (parsed(model, item) for item in _field(page, "items"))
            cursor = _field(page, "next_cursor")
            if cursor is None:
                return

    @contextmanager
    def stream(
        self,
        path: str,
        request: Mapping[str, object],
        files: Mapping[str, bytes | Path],
        stdin: Path | None = None,
    ) -> Iterator[httpx.Response]:
        """A call whose output comes while it runs: the response is either NDJSON or one JSON document.

        Files on disk are sent as they are read.
        """
        with ExitStack() as opened:
            named: list[tuple[str, str, bytes | Path]] = [("files", name, content) for name, content in files.items()]
            if stdin is not None:
                named.append(("stdin", "stdin", stdin))
            parts = [(field, (name, _opened(opened, content), _BYTES)) for field, name, content in named]
            body: dict[str, Any] = {"json": dict(request)}
            if parts:
                body = {"data": {"request": json.dumps(request)}, "files": parts}
            headers = {"Accept": "application/x-ndjson, application/json"}
            with _reached(self.address), self._http.stream("POST", path, headers=headers, **body) as response:
                yield response

    def download(self, path: str) -> Iterator[bytes]:
        """A file in pieces."""
        with _reached(self.address), self._http.stream("GET", path) as response:
            if not response.is_success:
                response.read()
                raise _problem(response)
            yield from response.iter_bytes()

    def lines(self, path: str) -> Iterator[str]:
        """Lines as they come, for as long as the server has some; it sends an empty one now and then, which is none."""
        with _reached(self.address), self._http.stream("GET", path) as response:
            if not response.is_success:
                response.read()
                raise _problem(response)
            yield from (line for line in response.iter_lines() if line)

    def _send(self, method: str, path: str, **request: Any) -> Answer:
        with _reached(self.address):
            response = self._http.request(method, path, **request)
        if not response.is_success:
            raise _problem(response)
        return Answer(
            response.status_code, None if response.status_code == httpx.codes.NO_CONTENT else json_of(response)
        )


def _opened(stack: ExitStack, content: bytes | Path) -> bytes | IO[bytes]:
    return content if isinstance(content, bytes) else stack.enter_context(content.open("rb"))


@contextmanager
def connected(server: str | None) -> Iterator[Client]:
    """A client for the server that an option, a setting or ``login`` names, with the token for it."""
    settings = settings_for(server=server)
    remembered = Credentials.of(settings.home)
    address = settings.server or remembered.default
    if address is None:
        hint = "give --server, set SKILLYARD_SERVER, or use `skillyard login` once"
        raise UsageProblemError(f"which server? {hint}", field="--server")
    token = settings.token.get_secret_value() if settings.token else remembered.token_for(checked_address(address))
    if token is None:
        raise UsageProblemError(f"no token for {address}: set SKILLYARD_TOKEN, or use `skillyard login` once")
    with Client(address=address, token=token) as client:
        yield client


def checked_address(text: str) -> str:
    """An address without a slash at its end. Raises ``UsageProblemError`` for what a token must not be sent to."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise UsageProblemError(f"{text!r} is not an address: {error}", field="--server") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise UsageProblemError(f"{text!r} is not an address such as https://skills.example.org", field="--server")
    if url.userinfo or url.query or url.fragment:
        raise UsageProblemError("an address has no credentials, query or fragment", field="--server")
    if url.scheme == "http" and not _is_loopback(url.host):
        raise UsageProblemError("a token is sent over https:// only, but for this machine itself", field="--server")
    return str(url).rstrip("/")


def quoted(part: str) -> str:
    """A part of a path, so that nothing in it can lead elsewhere."""
    return quote(part, safe="")


def parsed(model: type[ModelT], value: object) -> ModelT:
    """JSON of the server as one of its models. Raises ``ServerUnavailableError`` for anything else."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ServerUnavailableError(f"the server answered with something else than a {model.__name__}") from error


def json_of(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError as error:
        raise ServerUnavailableError(f"{response.request.url} answered with something that is not JSON") from error


def refusal(status: int, problem: object) -> RefusedByServerError:
    """The error that a problem document stands for."""
    facts = dict(problem) if isinstance(problem, Mapping) else {}
    detail = str(facts.pop("detail", "") or f"the server answered with status {status}")[:_MOST_DETAIL]
    code = str(facts.pop("code", "") or "error")
    return RefusedByServerError(detail, status=status, code=code, facts=facts)


def _problem(response: httpx.Response) -> RefusedByServerError:
    try:
        problem = response.json()
    except ValueError:
        problem = None
    return refusal(response.status_code, problem)


@contextmanager
def _reached(address: str) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise ServerUnavailableError(f"{address} did not answer in time ({type(error).__name__})") from error
    except (httpx.HTTPError, OSError) as error:
        raise ServerUnavailableError(f"{address} cannot be reached: {str(error) or type(error).__name__}") from error


def _field(page: object, name: str) -> Any:
    if not isinstance(page, Mapping) or name not in page:
        raise ServerUnavailableError("the server answered with something that is not a page of a list")
    return page[name]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
