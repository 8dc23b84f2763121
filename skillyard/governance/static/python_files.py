"""Files that Python writes and deletes: whose they are, and who reads them later."""

from __future__ import annotations

import re
from typing import Final

from skillyard.governance.report import Capability, Verdict
from skillyard.governance.static import python_paths as paths
from skillyard.governance.static import python_rules as rules
from skillyard.governance.static.python_call import Call, addresses
from skillyard.governance.static.python_flow import Flow
from skillyard.governance.static.python_judging import ran_download
from skillyard.governance.static.python_report import Report
from skillyard.governance.static.python_values import SECRET, Tag, Value, mixed

DELETING_METHODS: Final = frozenset({"unlink", "rmdir", "rmtree"})
DELETING: Final = frozenset(
    {"shutil.rmtree", "os.remove", "os.unlink", "os.rmdir", "os.removedirs", "send2trash.send2trash"}
)
_WRITES_TO: Final = {
    "shutil.copy": 1,
    "shutil.copy2": 1,
    "shutil.copyfile": 1,
    "shutil.move": 1,
    "os.rename": 1,
    "os.replace": 1,
    "os.symlink": 1,
    "os.link": 1,
    "shutil.copytree": 1,
}
CONTENT_FETCHES: Final = re.compile(
    r"\b(?:curl|wget|iwr|Invoke-WebRequest|urlopen|urlretrieve|requests\.\w+|httpx\.\w+)\b|/dev/tcp/|\bnc\s+-|base64\s+(?:-d|--decode)|\bexec\(|\beval\(|b64decode"
)
HIDDEN_PLACE: Final = re.compile(
    r"(?:/tmp|/var/tmp|/dev/shm|%TEMP%)[/\\]\.[\w.-]+|(?:~|\$HOME)/\.[\w./-]+[^\n]{0,40}&\s*(?:disown|\)|$)|/dev/null 2>&1 &",
    re.MULTILINE,
)
_CODE_FILE: Final = re.compile(r"\.(?:py|sh|js|mjs|ts|rb|pl|ps1)\b|\b(?:SKILL|AGENTS|CLAUDE)\.md\b")
_IS_TIDIED: Final = re.compile(r"[/\\](?:Downloads|Desktop)[/\\]*\*{1,2}$")
_DUMPED: Final = frozenset(
    {
        "json.dump",
        "yaml.dump",
        "yaml.safe_dump",
        "pickle.dump",
        "shutil.copyfileobj",
        "toml.dump",
        "plistlib.dump",
        "tomli_w.dump",
    }
)


def written(report: Report, flow: Flow, call: Call) -> None:
    """Files that are written: by whom they are read matters, and so does what is in them."""
    path, content, root = _writing(call)
    if path is None:
        return
    report.use(Capability.FILE_WRITE, call)
    held = content.everything()
    if held.tags & {Tag.NETWORK, Tag.DOWNLOADED, Tag.DECODED}:
        for text in path.texts:
            flow.program.written[text] = Value(tags=held.tags | path.tags, urls=held.urls)
        marks = Value(tags=frozenset({Tag.DOWNLOADED}) | (held.tags & {Tag.NETWORK, Tag.DECODED}), urls=held.urls)
        if Tag.NETWORK not in held.tags:
            marks = Value(tags=frozenset({Tag.DECODED}))
        for name in {root, *path.roots} - {""}:
            flow.taint_name(name, marks, call.scope)
    if held.tags & SECRET:
        for text in path.texts:
            flow.program.written.setdefault(text, Value(tags=held.tags & SECRET))
        for name in path.roots:
            flow.taint_name(name, Value(tags=held.tags & SECRET), call.scope)
    if Tag.SELF in path.tags and held.tags & {Tag.NETWORK, Tag.DOWNLOADED} and _CODE_FILE.search(" ".join(path.texts)):
        ran_download(report, call, held)
    for text in path.texts:
        _placed(report, call, text, held)


def _placed(report: Report, call: Call, path: str, content: Value) -> None:
    words = " ".join(content.texts)
    if call.symbol in {"os.symlink", "os.link"} and not content.texts:
        words = ""
    if paths.is_interpreter_hook(path):
        report.hit(
            rules.INTERPRETER_HOOK,
            call,
            f"({path.rpartition('/')[2]})",
            level=None if ("import" in words or "exec" in words or not words) else Verdict.FLAG,
        )
    elif paths.grants_access(path):
        report.hit(rules.ACCESS_GRANTED, call, f"({path})")
    elif (what := paths.started_from(path)) is not None and not path.startswith("<skill>"):
        bad = CONTENT_FETCHES.search(words) or HIDDEN_PLACE.search(words) or content.tags & {Tag.NETWORK, Tag.DECODED}
        report.hit(
            rules.STARTS_BY_ITSELF,
            call,
            f"({what}: {path.rpartition('/')[2]})",
            level=Verdict.BLOCK if bad else None,
        )
    elif paths.is_agent_configuration(path) and not path.startswith("<skill>"):
        bad = CONTENT_FETCHES.search(words) or content.tags & {Tag.NETWORK, Tag.DECODED}
        report.hit(rules.AGENT_CHANGED, call, f"({path})", level=Verdict.BLOCK if bad else None)


def deleted(report: Report, call: Call) -> None:
    path = call.base if call.method in DELETING_METHODS and not call.symbol else call.arg(0, "path")
    report.use(Capability.FILE_WRITE, call)
    facts = report.facts_of(call.scope.module)
    facts.removes += bool(call.scope.loops)
    whole = call.symbol == "shutil.rmtree"
    meant = [text for text in path.texts if paths.belongs_to_person(text)]
    if meant and (whole or call.scope.loops):
        # Old files out of a folder of downloads are what cleaners are for.
        chosen = call.scope.guarded and (not whole or all(_IS_TIDIED.search(text) for text in meant))
        level = Verdict.FLAG if chosen else None
        report.hit(rules.DESTRUCTION, call, f"({', '.join(meant)[:80]})", level=level)


def _writing(call: Call) -> tuple[Value | None, Value, str]:
    """The path that a call writes to, what it writes, and the variable that the path is made from."""
    symbol, method = call.symbol, call.method
    if call.base.symbol == "file:w" and method in {"write", "writelines"}:
        return call.base, call.arg(0, "s"), ""
    if method in {"write_text", "write_bytes"} and not symbol:
        return call.base, call.arg(0, "data"), call.base_root
    if (
        symbol in {"urllib.request.urlretrieve", "urllib.urlretrieve", "wget.download", "gdown.download"}
        and len(call.args) + len(call.named) > 1
    ):
        got = Value(tags=frozenset({Tag.NETWORK}), urls=addresses(call))
        return call.arg(1, "filename"), got, call.root(1)
    if symbol in _WRITES_TO and len(call.args) > 1:
        copied = call.args[0]
        secret = frozenset().union(*(paths.secrets_at(text) for text in copied.texts))
        return call.args[1], Value(tags=copied.tags | secret, urls=copied.urls), call.root(1)
    if symbol in _DUMPED:
        target = call.arg(1, "fp")
        return (target, call.arg(0, "obj"), "") if target.symbol == "file:w" else (None, Value(), "")
    if symbol == "builtins.print" and call.named.get("file", Value()).symbol == "file:w":
        return call.named["file"], mixed(call.args), ""
    if method in {"extractall", "extract"} or symbol == "shutil.unpack_archive":
        source = call.base if method else call.arg(0, "")
        position = 0 if method == "extractall" else 1
        target = call.arg(position, "path") if symbol != "shutil.unpack_archive" else call.arg(1, "extract_dir")
        tags = source.tags & {Tag.NETWORK, Tag.DOWNLOADED}
        return (
            target,
            Value(tags=frozenset({Tag.NETWORK}) if tags else frozenset(), urls=source.urls),
            call.root(position),
        )
    return None, Value(), ""
