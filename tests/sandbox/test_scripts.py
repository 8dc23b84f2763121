"""Scripts as public skills ship them run unchanged: argv, standard input, files, exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest
from skillyard.sandbox.outcome import InputFile, OutcomeState


async def test_a_python_script_gets_what_a_command_line_would_give_it(start, call, tmp_path: Path) -> None:
    outcome = await call(
        await start(),
        "scripts/tool.py",
        argv=("--in", "given.txt", "--out", "made/here.txt"),
        stdin="grüße".encode(),
        files=(InputFile("given.txt", b"text"), InputFile("made/keep", b"")),
        artefacts_to=tmp_path,
    )
    assert outcome.state is OutcomeState.SUCCEEDED, outcome
    assert outcome.exit_code == 0
    assert outcome.result_json is None
    assert outcome.stdout.decode() == "name __main__\nstdin grüße\nthread done\nat exit\n"
    (file,) = outcome.files
    assert (file.path, file.size, file.location) == ("made/here.txt", 4, tmp_path / "made" / "here.txt")
    assert file.location.read_bytes() == b"TEXT"


@pytest.mark.parametrize("code", [1, 2, 77, 255])
async def test_an_exit_code_is_the_outcome(start, call, code: int) -> None:
    outcome = await call(await start(), "scripts/tool.py", argv=("--exit", str(code)))
    assert outcome.state is OutcomeState.FAILED
    assert outcome.exit_code == code
    assert outcome.reason == f"ended with exit code {code}"


async def test_a_usage_error_of_argparse_reads_as_on_a_command_line(start, call) -> None:
    outcome = await call(await start(), "scripts/tool.py", argv=("--unknown",))
    assert outcome.exit_code == 2
    assert outcome.stderr.decode().startswith("usage: tool.py ")


async def test_an_exception_in_a_script_is_exit_code_1_with_its_traceback(start, call) -> None:
    outcome = await call(await start(), "scripts/tool.py", argv=("--raise",))
    assert outcome.state is OutcomeState.FAILED
    assert outcome.exit_code == 1
    assert outcome.reason == "RuntimeError: told to"
    assert outcome.stderr.decode().startswith('Traceback (most recent call last):\n  File "/skill/scripts/tool.py"')
    assert outcome.stdout.decode().endswith("thread done\nat exit\n")


async def test_a_shell_script_runs(start, call, tmp_path: Path) -> None:
    outcome = await call(
        await start(), "scripts/tool.sh", argv=("one", "two words"), stdin=b"a line\n", artefacts_to=tmp_path
    )
    assert outcome.state is OutcomeState.FAILED
    assert outcome.exit_code == 4
    assert outcome.stdout == b"args one two words\nstdin a line\n"
    assert outcome.stderr == b"problem\n"
    assert [file.path for file in outcome.files] == ["made.txt"]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("scripts/nowhere.py", "scripts/nowhere.py does not exist"),
        ("scripts/nowhere.sh", "scripts/nowhere.sh does not exist"),
        ("scripts/data.txt", "scripts/data.txt: only Python (.py) and shell (.sh) scripts can run here"),
    ],
)
async def test_what_is_no_script_says_why(start, call, entry: str, reason: str) -> None:
    outcome = await call(await start(), entry)
    assert outcome.state is OutcomeState.FAILED
    assert outcome.reason == reason


async def test_a_script_can_use_multiprocessing_and_sees_itself_as_main(start, call, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "pool.py").write_text(
        "import concurrent.futures, multiprocessing\n"
        "def square(n): return n * n\n"
        "if __name__ == '__main__':\n"
        "    for method in ('fork', 'spawn'):\n"
        "        context = multiprocessing.get_context(method)\n"
        "        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:\n"
        "            print(list(pool.map(square, range(5))))\n"
    )
    outcome = await call(await start(bundle=tmp_path), "pool.py")
    assert outcome.state is OutcomeState.SUCCEEDED, outcome.stderr.decode()
    assert outcome.stdout == b"[0, 1, 4, 9, 16]\n" * 2
