"""A receiver of webhooks, as somebody else would write one: checks the signature first, and then does as its path says.

Usage: receiver.py SECRETS LOG [CERTIFICATE]. SECRETS is a file with one secret a line, read anew for each message; each
request is a line of JSON in LOG. Prints its port.
"""

import base64
import hashlib
import hmac
import json
import ssl
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SECRETS, LOG = Path(sys.argv[1]), Path(sys.argv[2])
LOCK = threading.Lock()
SEEN: Counter[str] = Counter()


def genuine(headers, body: bytes) -> bool:
    """https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md"""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    if abs(time.time() - int(headers["webhook-timestamp"])) > 300:
        return False
    for secret in SECRETS.read_text().split():
        key = base64.b64decode(secret.removeprefix("whsec_"))
        wanted = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        if hmac.compare_digest(wanted, headers["webhook-signature"]):
            return True
    return False


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        fine = genuine(self.headers, body)
        with LOCK:
            SEEN[self.path] += 1
            count = SEEN[self.path]
            with LOG.open("a") as log:
                told = {"path": self.path, "genuine": fine, "id": self.headers["webhook-id"], "body": json.loads(body)}
                told |= {"host": self.headers["host"], "agent": self.headers["user-agent"]}
                log.write(json.dumps(told) + "\n")
        if not fine:
            self.answer(401)
            return
        match self.path.strip("/").split("/"):
            case ["fail", times] if count <= int(times):
                self.answer(503)
            case ["never"]:
                self.answer(500)
            case ["hang"]:
                time.sleep(3600)
            case ["huge"]:
                self.send_response(200)
                self.send_header("content-length", str(1 << 50))
                self.end_headers()
                while True:
                    self.wfile.write(b"x" * 65536)
            case ["redirect", port]:
                self.send_response(307)
                self.send_header("location", f"http://127.0.0.1:{port}/ok")
                self.send_header("content-length", "0")
                self.end_headers()
            case ["garbage"]:
                self.wfile.write(b"this is not HTTP\r\n\r\n")
                self.close_connection = True
            case ["dripping"]:
                while True:
                    self.wfile.write(b"H")
                    time.sleep(0.05)
            case _:
                self.answer(204)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
server.daemon_threads = True
if len(sys.argv) > 3:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
