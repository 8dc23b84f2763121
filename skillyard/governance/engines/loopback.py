"""The advisory index as an HTTP endpoint on this machine, for programs that ask a registry.

It listens on 127.0.0.1 alone, on a port of the kernel's choice, below a path that nobody can guess, for as long as one
scan takes. What goes wrong is answered as an error: 500 where the index fails, 4xx where the question does. An empty
answer is given for one reason only: the index was read, and holds nothing against that version.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import orjson
import structlog

from skillyard.governance.advisories.index import AdvisoryIndex
from skillyard.governance.engines.npm_answers import bulk_answer, bulk_question
from skillyard.governance.engines.osv_answers import Asked, QuestionError, answer, batch_answer, question, questions
from skillyard.governance.engines.osv_record import Json
from skillyard.governance.errors import AdvisoryIndexError

_MOST_BYTES: Final = 1024 * 1024
"""Of one question. A batch of a thousand queries is a tenth of that."""
_STALL_SECONDS: Final = 10.0
_MOST_AT_ONCE: Final = 16
_POLL_SECONDS: Final = 0.05

_log = structlog.get_logger(__name__)

Answerer = Callable[[object], Json]
"""From the question's JSON to the answer's. Raises ``QuestionError`` or ``AdvisoryIndexError``."""


class Loopback:
    """A running endpoint. ``asked`` grows with every package version that an engine asked about and got an answer."""

    def __init__(self, index: AdvisoryIndex) -> None:
        self._index = index
        self._secret = secrets.token_urlsafe(24)
        self._asked: set[Asked] = set()
        self._server = _Server(self._routes())
        self._thread = threading.Thread(target=self._serve, name="advisory-endpoint", daemon=True)

    @property
    def url(self) -> str:
        """The address below which the OSV API is, without a final slash. It is a secret while the scan runs."""
        return f"http://127.0.0.1:{self._server.server_port}/{self._secret}"

    @property
    def asked(self) -> frozenset[Asked]:
        return frozenset(self._asked)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and let go of the port; an answer that is being written does not keep us."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _serve(self) -> None:
        self._server.serve_forever(_POLL_SECONDS)

    def _routes(self) -> dict[str, Answerer]:
        return {
            f"/{self._secret}/v1/query": self._query,
            f"/{self._secret}/v1/querybatch": self._batch,
            f"/{self._secret}/-/npm/v1/security/advisories/bulk": self._bulk,
        }

    def _query(self, value: object) -> Json:
        asked = question(value)
        answered = answer(self._index, asked)
        self._asked.add(asked)
        return answered

    def _batch(self, value: object) -> Json:
        asked = questions(value)
        answered = batch_answer(self._index, asked)
        self._asked.update(asked)
        return answered

    def _bulk(self, value: object) -> Json:
        asked = bulk_question(value)
        answered = bulk_answer(self._index, asked)
        self._asked.update(asked)
        return answered


@contextlib.contextmanager
def serving(index: AdvisoryIndex) -> Iterator[Loopback]:
    """An endpoint over one opened index, so that every answer of one scan is from the same data."""
    endpoint = Loopback(index)
    endpoint.start()
    try:
        yield endpoint
    finally:
        endpoint.stop()


Serving = Callable[[AdvisoryIndex], contextlib.AbstractContextManager[Loopback]]
"""How a scanner gets its endpoint."""


def _decoded(body: bytes, encoding: str) -> bytes:
    """npm compresses what it asks; what unpacks to more than a question may have is none."""
    if encoding != "gzip":
        return body
    unpacking = zlib.decompressobj(wbits=31)  # gzip's format, RFC 1952
    unpacked = unpacking.decompress(body, _MOST_BYTES)
    if not unpacking.eof:
        raise QuestionError(f"a question has at most {_MOST_BYTES} bytes, and is whole")
    return unpacked


class _Server(ThreadingHTTPServer):
    """At most ``_MOST_AT_ONCE`` connections; one more is closed, which its program takes for the error it is."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = _MOST_AT_ONCE

    def __init__(self, routes: dict[str, Answerer]) -> None:
        self.routes = routes
        self._free = threading.BoundedSemaphore(_MOST_AT_ONCE)
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that broke; whoever was at the other end knows as much."""
        del request, client_address
        _log.debug("advisory_endpoint_connection_broke", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _STALL_SECONDS
    server: _Server
    # Head and body in one packet: apart, each answer would wait 40 ms for the other side's delayed acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path in self.server.routes:
            self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "questions are asked by POST")
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")

    def do_POST(self) -> None:
        answerer = self.server.routes.get(self.path)
        if answerer is None:
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "a question has a length")
        elif int(length) > _MOST_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a question has at most {_MOST_BYTES} bytes")
        else:
            self._answer(answerer, self.rfile.read(int(length)), self.headers.get("Content-Encoding", ""))

    def _answer(self, answerer: Answerer, body: bytes, encoding: str) -> None:
        try:
            self._send(HTTPStatus.OK, orjson.dumps(answerer(orjson.loads(_decoded(body, encoding)))))
        except (orjson.JSONDecodeError, zlib.error):
            self._refuse(HTTPStatus.BAD_REQUEST, "not JSON")
        except QuestionError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        except AdvisoryIndexError as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        except Exception:  # noqa: BLE001  # the edge: whatever went wrong, the engine must not take it for an answer
            _log.exception("advisory_endpoint_failed")
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "the endpoint failed")

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        self.close_connection = True  # what was not read of the question must not be read as the next one
        self._send(status, orjson.dumps({"code": status.value, "message": message}))

    def _send(self, status: HTTPStatus, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Quiet: paths hold the secret."""
