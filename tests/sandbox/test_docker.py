"""Starting, checking, calling and stopping sandboxes on a real engine."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from skillyard.errors import InputError
from skillyard.sandbox.docker import DockerSandbox
from skillyard.sandbox.engine import Engine
from skillyard.sandbox.errors import EngineUnavailableError, HealthError, SandboxError, StartError
from skillyard.sandbox.events import Output
from skillyard.sandbox.guest_code import GuestSource
from skillyard.sandbox.images import SKILL_UID, BaseImage
from skillyard.sandbox.outcome import Call, InputFile, OutcomeState
from skillyard.sandbox.sandbox import SandboxSpec
from skillyard.skills.permissions import Granted
from skillyard.skills.skill import EntryKind, SkillKind


async def test_a_function_gets_its_input_and_gives_its_result(start, call) -> None:
    running = await start()
    outcome = await call(running, "scripts/plain.py:echo", {"text": "grüße", "number": 1.5, "nested": [None, {"a": 1}]})
    assert outcome.state is OutcomeState.SUCCEEDED
    assert outcome.reason is None
    assert outcome.result_json is not None
    assert orjson.loads(outcome.result_json) == {"text": "grüße", "number": 1.5, "nested": [None, {"a": 1}]}
    assert outcome.usage.wall_seconds is not None
    assert outcome.usage.cpu_seconds is not None
    assert 0 < outcome.usage.cpu_seconds < 5
    assert outcome.usage.peak_memory_bytes is not None
    assert 5_000_000 < outcome.usage.peak_memory_bytes < 256_000_000


async def test_an_async_function_is_awaited(start, call) -> None:
    outcome = await call(await start(), "scripts/plain.py:later", {"value": 3})
    assert outcome.result_json == b'{"later":3}'


async def test_a_function_finds_its_modules_its_folder_and_a_home(start, call) -> None:
    outcome = await call(await start(), "scripts/plain.py:where", stdin=b"from outside")
    assert orjson.loads(outcome.result_json) == {
        "cwd": "/scratch/work",
        "path": ["/skill/scripts", "/skill"],
        "helper": "helper beside the entry",
        "constant": 42,
        "file": "/skill/scripts/plain.py",
        "name": "_skillyard_entry",
        "home": "/scratch/home",
        "stdin": "from outside",
    }


async def test_standard_input_is_empty_where_none_is_given(start, call) -> None:
    outcome = await call(await start(), "scripts/plain.py:where")
    assert orjson.loads(outcome.result_json)["stdin"] == ""


async def test_an_exception_is_a_failure_with_its_traceback_on_standard_error(start, call) -> None:
    outcome = await call(await start(), "scripts/plain.py:fails", {"message": "no such column"})
    assert outcome.state is OutcomeState.FAILED
    assert outcome.reason == "ValueError: no such column"
    assert outcome.result_json is None
    text = outcome.stderr.decode()
    assert text.startswith('Traceback (most recent call last):\n  File "/skill/scripts/plain.py"')
    assert text.endswith("ValueError: no such column\n")


@pytest.mark.parametrize(
    ("entry", "given", "reason"),
    [
        ("scripts/plain.py:fails", {}, "TypeError: fails() missing 1 required positional argument: 'message'"),
        ("scripts/plain.py:nobody", {}, "scripts/plain.py has no callable 'nobody'"),
        ("scripts/plain.py:not_callable", {}, "scripts/plain.py has no callable 'not_callable'"),
        ("scripts/nowhere.py:run", {}, "scripts/nowhere.py does not exist"),
        ("scripts/broken.py:run", {}, "ModuleNotFoundError: No module named 'module_that_nobody_has'"),
        ("scripts/plain.py:exits", {"code": 3}, "SystemExit: 3"),
        ("scripts/plain.py:leaves", {"code": 0}, "ended without a result, with exit code 0"),
        ("scripts/plain.py:not_json", {"kind": "bytes"}, "the result is not JSON: Object of type bytes is not JSON"),
        ("scripts/plain.py:not_json", {"kind": "object"}, "the result is not JSON: Object of type object is not JSON"),
        ("scripts/plain.py:not_json", {"kind": "set"}, "the result is not JSON: Object of type set is not JSON"),
        ("scripts/plain.py:not_json", {"kind": "nan"}, "the result is not JSON: Out of range float values"),
        ("scripts/plain.py:not_json", {"kind": "surrogate"}, "the result is not JSON: 'utf-8' codec can't encode"),
    ],
)
async def test_what_is_no_success_says_why(start, call, entry: str, given: dict[str, object], reason: str) -> None:
    outcome = await call(await start(), entry, given)
    assert outcome.state is OutcomeState.FAILED
    assert outcome.reason is not None
    assert outcome.reason.startswith(reason)
    assert outcome.result_json is None


async def test_input_that_is_no_object_is_refused_by_name(start, entry) -> None:
    running = await start()
    outcome = await running.call(Call(entry=entry("scripts/plain.py:echo"), input_json=b"[1]"))
    assert outcome.state is OutcomeState.FAILED
    assert outcome.reason == "the input must be a JSON object: its members are the function's arguments"


async def test_a_signal_that_nobody_here_sent_is_named(start, call) -> None:
    outcome = await call(await start(), "scripts/plain.py:kills_itself", {"number": int(signal.SIGSEGV)})
    assert outcome.state is OutcomeState.KILLED
    assert outcome.signal == signal.SIGSEGV


async def test_output_is_streamed_while_the_call_runs_and_kept(start, call) -> None:
    seen: list[Output] = []
    outcome = await call(await start(), "scripts/plain.py:talk", {"count": 50}, on_output=seen.append)
    expected = {n: "".join(f"{'out' if n == 1 else 'err'} {i}\n" for i in range(50)).encode() for n in (1, 2)}
    assert {n: b"".join(o.data for o in seen if o.stream == n) for n in (1, 2)} == expected
    assert (outcome.stdout, outcome.stderr) == (expected[1], expected[2])


async def test_what_other_code_than_print_writes_arrives_too(start, call) -> None:
    outcome = await call(await start(), "scripts/plain.py:low_level_talk")
    assert outcome.stdout == b"written\nfrom a subprocess\n"


async def test_output_arrives_before_the_call_ends(start, entry) -> None:
    running = await start()
    first: asyncio.Future[Output] = asyncio.get_running_loop().create_future()
    call = asyncio.create_task(
        running.call(Call(entry=entry("scripts/bombs.py:stubborn")), lambda o: first.done() or first.set_result(o))
    )
    assert (await first).data == b"deaf\n"
    assert not call.done()
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call


async def test_a_failing_sink_ends_the_call_and_is_raised(start, call) -> None:
    running = await start()

    def sink(_output: Output) -> None:
        raise ConnectionResetError("the listener left")

    with pytest.raises(ConnectionResetError):
        await call(running, "scripts/bombs.py:shout_for_ever", on_output=sink)
    assert (await call(running, "scripts/plain.py:echo", {"a": 1})).state is OutcomeState.SUCCEEDED


async def test_calls_do_not_share_random_numbers(start, call) -> None:
    running = await start()
    results = [orjson.loads((await call(running, "scripts/plain.py:unlike")).result_json) for _ in range(4)]
    for drawn in zip(*results, strict=True):
        assert len(set(drawn)) == 4


async def test_large_input_and_large_result_travel_whole(start, call) -> None:
    running = await start()
    text = "ü" * 500_000
    outcome = await call(running, "scripts/plain.py:echo", {"text": text})
    assert orjson.loads(outcome.result_json) == {"text": text}


@pytest.mark.parametrize("entry_text", ["scripts/plain.py:echo", "scripts/tool.py", "scripts/tool.sh"])
async def test_check_accepts_what_can_be_called(start, entry, entry_text: str) -> None:
    await (await start()).check((entry(entry_text),))


@pytest.mark.parametrize(
    ("entry_text", "reason"),
    [
        ("scripts/broken.py:run", "scripts/broken.py: ModuleNotFoundError: No module named 'module_that_nobody_has'"),
        ("scripts/plain.py:nobody", "scripts/plain.py has no callable 'nobody'"),
        ("scripts/nowhere.py", "scripts/nowhere.py does not exist"),
        ("scripts/data.txt", "scripts/data.txt: only Python (.py) and shell (.sh) scripts can run here"),
    ],
)
async def test_check_refuses_what_cannot_be_called(start, entry, call, entry_text: str, reason: str) -> None:
    running = await start()
    with pytest.raises(HealthError) as caught:
        await running.check((entry("scripts/tool.py"), entry(entry_text)))
    assert reason in str(caught.value)
    assert (await call(running, "scripts/plain.py:echo")).state is OutcomeState.SUCCEEDED


async def test_check_refuses_a_script_that_does_not_compile(start, entry, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("def f(:\n")
    tmp_path.chmod(0o755)
    with pytest.raises(HealthError, match=r"SyntaxError: .*line 1"):
        await (await start(bundle=tmp_path)).check((entry("bad.py"),))


async def test_a_bundle_that_the_skills_user_may_not_read_is_told_apart(start, entry, tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("")
    tmp_path.chmod(0o700)
    with pytest.raises(HealthError, match=r"good.py cannot be read: Permission denied"):
        await (await start(bundle=tmp_path)).check((entry("good.py"),))


async def test_a_module_that_cannot_be_preloaded_is_reported_and_does_not_prevent_calls(start, call) -> None:
    running = await start(preload=("json.tool", "module_that_nobody_has"))
    (failure,) = running.preload_failures
    assert failure.startswith("module_that_nobody_has: ModuleNotFoundError")
    assert (await call(running, "scripts/plain.py:echo")).state is OutcomeState.SUCCEEDED


async def test_packages_of_the_environment_are_imported_ahead_and_seen_by_subprocesses(
    start, call, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "somepackage.py").write_text("import sys\nprint('imported once', file=sys.stderr)\n")
    running = await start(environment=tmp_path, preload=("somepackage",))
    outcome = await call(running, "scripts/plain.py:subprocess_sees", {"module": "somepackage"})
    assert orjson.loads(outcome.result_json) == {"code": 0, "out": "somepackage\n", "err": "imported once\n"}


async def test_two_sandboxes_serve_at_the_same_time(start, call) -> None:
    one, two = await asyncio.gather(start(), start())
    outcomes = await asyncio.gather(
        *(call(running, "scripts/plain.py:echo", {"n": n}) for n, running in enumerate((one, two)))
    )
    assert [outcome.result_json for outcome in outcomes] == [b'{"n":0}', b'{"n":1}']


async def test_a_second_call_at_once_is_our_own_error(start, call) -> None:
    running = await start()
    slow = asyncio.create_task(call(running, "scripts/bombs.py:sleep"))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="one call at a time"):
        await call(running, "scripts/plain.py:echo")
    slow.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await slow


async def test_a_guest_that_does_not_start_says_why_and_leaves_nothing(
    engine: Engine, image: BaseImage, spec: SandboxSpec, granted: Granted, wait_until_gone
) -> None:
    sandbox = DockerSandbox(
        engine=engine,
        images=_Images(replace(image, python="/bin/sh")),
        guest=GuestSource(),
        uid=SKILL_UID,
        start_timeout=60.0,
    )
    with pytest.raises(StartError) as caught:
        await sandbox.start(spec, granted)
    assert "Illegal option" in caught.value.stderr
    await wait_until_gone()


async def test_an_interpreter_that_is_not_there_is_an_error_and_leaves_nothing(
    engine: Engine, image: BaseImage, spec: SandboxSpec, granted: Granted, wait_until_gone
) -> None:
    sandbox = DockerSandbox(
        engine=engine,
        images=_Images(replace(image, python="/nowhere/python3")),
        guest=GuestSource(),
        uid=SKILL_UID,
        start_timeout=60.0,
    )
    with pytest.raises(SandboxError, match="/nowhere/python3"):
        await sandbox.start(spec, granted)
    await wait_until_gone()


async def test_a_package_that_kills_the_zygote_while_it_is_imported_fails_the_start(
    start, tmp_path: Path, wait_until_gone
) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "deadly.py").write_text("import os\nprint('my last words', flush=True)\nos.kill(os.getpid(), 9)\n")
    with pytest.raises(StartError) as caught:
        await start(environment=tmp_path, preload=("deadly",))
    assert "my last words" in str(caught.value)
    await wait_until_gone()


async def test_a_package_that_hangs_while_it_is_imported_fails_the_start(
    engine: Engine, image: BaseImage, spec: SandboxSpec, granted: Granted, tmp_path: Path, wait_until_gone
) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "hangs.py").write_text("import time\ntime.sleep(3600)\n")
    sandbox = _Impatient(engine=engine, images=_Images(image), guest=GuestSource(), uid=SKILL_UID, start_timeout=60.0)
    with pytest.raises(StartError, match="not ready within 3 s"):
        await sandbox.start(replace(spec, environment=tmp_path, preload=("hangs",)), granted)
    await wait_until_gone()


@pytest.mark.parametrize("step", range(4))
async def test_a_start_that_is_cancelled_leaves_nothing(
    sandbox: DockerSandbox, spec: SandboxSpec, granted: Granted, wait_until_gone, step: int
) -> None:
    starting = asyncio.create_task(sandbox.start(spec, granted))
    # Cancelled before it ran, in its first requests to the engine, and close to its end.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout((0, 0.02, 0.1, 0.25)[step]):
            await asyncio.shield(starting)
    starting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await (await starting).stop()
    await wait_until_gone()


async def test_an_engine_that_is_not_there_is_named(image: BaseImage, spec: SandboxSpec, granted: Granted) -> None:
    sandbox = DockerSandbox(
        engine=Engine(address="unix:///nowhere/docker.sock"),
        images=_Images(image),
        guest=GuestSource(),
        uid=SKILL_UID,
        start_timeout=5.0,
    )
    with pytest.raises(EngineUnavailableError):
        await sandbox.start(spec, granted)


async def test_node_skills_are_refused_for_now(sandbox: DockerSandbox, spec: SandboxSpec, granted: Granted) -> None:
    with pytest.raises(StartError, match="Node"):
        await sandbox.start(replace(spec, kind=SkillKind.NODE), granted)


async def test_the_container_goes_when_its_owner_is_killed(
    spec: SandboxSpec, image: BaseImage, engine: Engine, instance: str, wait_until_gone
) -> None:
    owner = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).parent.parent / "assets" / "sandbox" / "owner.py"),
        image.reference,
        image.python,
        str(spec.bundle),
        instance,
        stdout=asyncio.subprocess.PIPE,
    )
    assert owner.stdout is not None
    assert await owner.stdout.readline() == b"deaf\n"
    assert len(await engine.containers({"skillyard.instance": instance})) == 1
    owner.kill()
    await owner.wait()
    await wait_until_gone()


async def test_files_for_a_function_are_in_its_working_folder(start, call) -> None:
    outcome = await call(
        await start(), "scripts/plain.py:reads", {"path": "in/put.txt"}, files=(InputFile("in/put.txt", b"content"),)
    )
    assert outcome.result_json == b'"content"'


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"files": (InputFile("../up", b""),)}, "files"),
        ({"files": (InputFile("/etc/passwd", b""),)}, "files"),
        ({"files": (InputFile("a//b", b""),)}, "files"),
        ({"files": (InputFile("a\nb", b""),)}, "files"),
        ({"files": (InputFile("a", b""), InputFile("a", b""))}, "files"),
        ({"files": (InputFile("a", b""), InputFile("a/b", b""))}, "files"),
        ({"files": (InputFile("a", bytes(17 * 1024 * 1024)),)}, "files"),
        ({"files": tuple(InputFile(str(n), b"") for n in range(513))}, "files"),
        ({"stdin": bytes(17 * 1024 * 1024)}, "stdin"),
        ({"argv": ("a\0b",)}, "argv"),
        ({"argv": ("x" * 70_000,)}, "argv"),
        ({"input_json": b" " * (8 * 1024 * 1024 + 1)}, "input"),
        ({"timeout_seconds": 0.0}, "timeout"),
        ({"timeout_seconds": float("nan")}, "timeout"),
    ],
)
async def test_input_that_no_sandbox_takes_is_refused_before_anything_runs(
    start, entry, fields: dict[str, object], field: str
) -> None:
    running = await start()
    with pytest.raises(InputError) as caught:
        await running.call(Call(entry=entry("scripts/tool.py"), **fields))
    assert caught.value.field == field
    assert running.alive


class _Impatient(DockerSandbox):
    """The engine may take its time, the guest may not."""

    async def _greet(self, *opened):
        self._start_timeout = 3.0
        return await super()._greet(*opened)


class _Images:
    def __init__(self, image: BaseImage) -> None:
        self.image = image

    async def python_image(self) -> BaseImage:
        return self.image


def test_entry_kinds_are_what_the_channel_speaks_of() -> None:
    assert {kind.value for kind in EntryKind} == {"function", "script"}
