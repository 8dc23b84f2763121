"""What calls do with values: send, execute, write, delete. Here facts combine into findings."""

from __future__ import annotations

import ast
import re
from typing import Final

from skillyard.governance.report import Capability, Confidence, Verdict
from skillyard.governance.static import python_names as names
from skillyard.governance.static import python_paths as paths
from skillyard.governance.static import python_rules as rules
from skillyard.governance.static.python_call import Call, addresses, outgoing
from skillyard.governance.static.python_commands import commanded, fed
from skillyard.governance.static.python_files import DELETING, DELETING_METHODS, deleted, written
from skillyard.governance.static.python_flow import Flow
from skillyard.governance.static.python_judging import addressed, origin, ran_download, told_secret, was_downloaded
from skillyard.governance.static.python_report import Report
from skillyard.governance.static.python_values import SECRET, Tag, Value, mixed
from skillyard.governance.static.urls import Host
from skillyard.governance.static.view import Language

_NATIVE: Final = re.compile(r"^(?:ctypes|cffi|_ctypes)\b")
_COMPUTED: Final = re.compile(r"\b(?:bytes|bytearray|chr)\(")
_KEYS: Final = re.compile(
    r"^(?:pynput\.keyboard\.Listener|keyboard\.(?:on_press|hook|on_release|record|start_recording)"
    r"|pyHook\.HookManager|pyxhook\.HookManager)"
)
_SCRAMBLES: Final = re.compile(r"Fernet\(\)\.encrypt$|AES.*\.encrypt|ChaCha20.*\.encrypt|\.encryptor\(\)\.update$")


class Sinks(Report):
    """Told of every call (``python_calls``)."""

    def __call__(self, flow: Flow, call: Call) -> None:
        symbol = call.symbol
        self._hidden(call)
        if symbol in names.EVALUATING or symbol in {"types.FunctionType", "builtins.compile"}:
            self._evaluated(call)
        elif names.is_command(symbol):
            commanded(self, flow, call)
            fed(self, call)
        elif symbol in names.IMPORTING or symbol in {"sys.path.insert", "sys.path.append"}:
            self._imported(flow, call)
        elif names.is_loading(symbol):
            self._loaded(call)
        elif symbol in DELETING or (call.method in DELETING_METHODS and not call.symbol):
            deleted(self, call)
        if (
            names.is_sending(symbol)
            or names.is_storage(symbol)
            or (not symbol and names.is_sending_method(call.method))
        ):
            self._sent(call)
        if call.base.symbol.startswith("subprocess.Popen()"):
            fed(self, call)
        written(self, flow, call)
        self._noted(call)
        if _NATIVE.match(symbol):
            self.use(Capability.NATIVE_CODE, call)
        for one in call.args:
            if one.assembled and one.text is not None and len(one.text) > 24:
                self.text(call, "assembled string", one.text, Language.TEXT)

    def _hidden(self, call: Call) -> None:
        symbol = call.symbol
        runs = (
            symbol in names.EVALUATING
            or names.is_command(symbol)
            or symbol in {"builtins.__import__", "builtins.compile"}
        )
        if runs and call.callee.assembled:
            self.hit(rules.HIDDEN_CALL, call, f"({symbol.removeprefix('builtins.')})")

    def _evaluated(self, call: Call) -> None:
        """``exec`` and its like, of what came from somewhere else."""
        code = call.arg(0, "source").everything()
        if call.symbol != "builtins.compile":
            self.use(Capability.DYNAMIC_CODE, call)
        if code.text is not None:
            self.text(call, "executed string", code.text, Language.PYTHON)
        if call.symbol == "builtins.compile" and not self._compiles_code(call):
            return
        if code.tags & {Tag.NETWORK, Tag.DOWNLOADED}:
            self.hit(rules.DOWNLOADED_EXECUTED, call, origin(code))
        elif Tag.MARSHALLED in code.tags and not code.tags & {Tag.DECODED, Tag.SKILL_DATA, Tag.SELF}:
            self.hit(rules.DECODED_EXECUTED, call, "(compiled code from a file)", level=Verdict.FLAG)
        elif code.tags & {Tag.DECODED, Tag.MARSHALLED}:
            level = Verdict.FLAG if code.tags & {Tag.USER, Tag.REQUEST} and code.text is None else None
            self.hit(rules.DECODED_EXECUTED, call, level=level)
        elif code.assembled and code.text is not None and len(code.text) > 3 and _is_spelled(call):
            self.hit(rules.DECODED_EXECUTED, call, "(put together from pieces)", confidence=Confidence.MEDIUM)
        elif code.text is None and not code.tags & {Tag.USER, Tag.REQUEST} and _COMPUTED.search(_first_argument(call)):
            self.hit(rules.DECODED_EXECUTED, call, "(computed byte by byte)", confidence=Confidence.MEDIUM)
        elif Tag.SKILL_DATA in code.tags:
            self.hit(rules.DATA_EXECUTED, call, confidence=Confidence.MEDIUM)
        elif Tag.CLIPBOARD in code.tags:
            self.hit(rules.DOWNLOADED_EXECUTED, call, "from the clipboard")

    def _compiles_code(self, call: Call) -> bool:
        """Only code that is executed counts; what is compiled to be looked at does not."""
        return call.arg(2, "mode").text in {"exec", "eval", "single"} and not call.node.keywords

    def _imported(self, flow: Flow, call: Call) -> None:
        path = call.args[-1] if call.args and call.symbol.startswith("sys.path") else call.arg(0, "path")
        if call.symbol.endswith(("spec_from_file_location", "SourceFileLoader", "load_source")):
            path = mixed(call.args).tagged()
            path = call.arg(1, "location") if call.arg(1, "location").tags or call.arg(1, "location").texts else path
        if Tag.DOWNLOADED in path.tags or was_downloaded(flow, path) is not None:
            ran_download(self, call, was_downloaded(flow, path) or path)
        elif path.tags & {Tag.NETWORK} and call.symbol in {"importlib.import_module", "builtins.__import__"}:
            self.hit(rules.DOWNLOADED_EXECUTED, call, origin(path), level=Verdict.FLAG)

    def _loaded(self, call: Call) -> None:
        data = call.arg(0, "").everything()
        if call.symbol.startswith("yaml."):
            if not (
                call.symbol in {"yaml.unsafe_load"}
                or (call.symbol == "yaml.load" and "Safe" not in ast.unparse(call.node))
            ):
                return
        elif call.symbol.startswith(("torch.", "numpy.")):
            return
        if data.tags & {Tag.NETWORK, Tag.DOWNLOADED, Tag.REQUEST}:
            self.hit(rules.UNSAFE_LOADING, call, origin(data))
        elif (
            Tag.DECODED in data.tags
            and not data.tags & {Tag.USER}
            and not call.symbol.startswith(("yaml.", "marshal."))
        ):
            self.hit(
                rules.DECODED_EXECUTED,
                call,
                "by loading a pickle",
                confidence=Confidence.MEDIUM,
                level=None if data.text or Tag.SKILL_DATA in data.tags else Verdict.FLAG,
            )

    def _sent(self, call: Call) -> None:
        self.use(Capability.NETWORK, call)
        self.facts_of(call.scope.module).sends += 1
        values, authorised = outgoing(call)
        held = mixed(values)
        secret = held.tags & SECRET
        if any(paths.is_metadata_service(text) for text in addresses(call)):
            self.hit(rules.CLOUD_CREDENTIALS, call)
        if Tag.PRIVATE in authorised:
            secret |= {Tag.PRIVATE}
        if secret and secret <= {Tag.VENDOR, Tag.GENERIC} and _only_address(values, secret):
            self.hit(rules.CREDENTIAL_USED, call)
        elif secret:
            told_secret(self, call, secret, held, direct=True)
        elif authorised & {Tag.VENDOR}:
            self.hit(rules.CREDENTIAL_USED, call)
        secret_names = {name for name in held.variables if names.SECRET_VARIABLE.search(name)}
        if len({name.partition("_")[0] for name in secret_names}) >= 2 and len(secret_names) >= 3:
            self.hit(rules.ENVIRONMENT_SENT, call, f"({', '.join(sorted(secret_names)[:6])})")
        elif secret_names and any(
            url.nameless or url.kind is Host.CHAT for text in addresses(call) for url in addressed(text)
        ):
            # A webhook's own token is part of its address.
            body = mixed(values[1:] if call.args and call.args[0].texts else values)
            if secret_names & body.variables:
                self.hit(rules.ENVIRONMENT_SENT, call, f"({', '.join(sorted(secret_names & body.variables)[:6])})")
        watched = held.tags & {Tag.CLIPBOARD, Tag.KEYSTROKES, Tag.SCREEN}
        if watched:
            asked = Tag.KEYSTROKES not in watched and not call.scope.loops
            self.hit(rules.WATCHED_SENT, call, level=Verdict.FLAG if asked else None)

    def _noted(self, call: Call) -> None:
        symbol, facts = call.symbol, self.facts_of(call.scope.module)
        if symbol == "os.utime" and re.search(r"st_mtime", ast.unparse(call.node)) and call.scope.loops:
            facts.restores_times += 1
        if symbol == "os.dup2":
            facts.dup2 += 1
        if symbol in {"socket.socket", "socket.create_connection"}:
            facts.sockets += 1
        if _KEYS.match(symbol):
            facts.listens_to_keys += 1
        if symbol in {"os.walk", "glob.glob", "glob.iglob"} or call.method in {"rglob", "iterdir"}:
            facts.walks += 1
        if _SCRAMBLES.search(symbol):
            facts.scrambles += 1
        if symbol in {"os.environ.get", "os.getenv", "os.environ.items", "os.environ.copy"}:
            self.use(Capability.ENVIRONMENT, call)
        if symbol == "winreg.SetValueEx" and "CurrentVersion" in call.scope.module.view.text:
            self.hit(rules.STARTS_BY_ITSELF, call, "(the registry)")
        if symbol.startswith("docker.") and call.method in {"run", "create"}:
            volumes = call.named.get("volumes", Value())
            mounted = volumes.field("/") is not None or any(
                t.startswith("/:/") for v in volumes.items or () for t in v.texts
            )
            if mounted and (
                "privileged" in call.named or any("chroot" in text for one in call.args for text in one.texts)
            ):
                self.hit(rules.HOST_MOUNTED, call)
        if symbol in {"sys.meta_path.insert", "sys.meta_path.append"}:
            self.hit(rules.INTERCEPTION, call, "(imports)")


def _only_address(values: tuple[Value, ...], secret: frozenset[Tag]) -> bool:
    """Whether another tool's settings only say whom to ask, as a cluster's address does."""
    return bool(values) and values[0].open_start and not mixed(values[1:]).tags & secret and bool(values[0].texts)


def _first_argument(call: Call) -> str:
    return ast.unparse(call.node.args[0])[:20_000] if call.node.args else ""


def _is_spelled(call: Call) -> bool:
    """Whether code is written so as not to be found: letter by letter, backwards, or in many small pieces."""
    source = ast.unparse(call.node) if call.node.args else ""
    return (
        "chr(" in source or "[::-1]" in source or ".join(" in source or source.count("'+'") + source.count("' + '") > 2
    )
