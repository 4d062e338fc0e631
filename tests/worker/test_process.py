"""Real programs, started and ended."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chain import ROOT, is_alive, wait_until
from worker import descendants, marks, output, process
from worker.environment import environment
from worker.manners import Manners
from worker.process import CannotStart, Completed, Ending, run
from worker.redact import Redactor

MARKER = f"test-{os.getpid()}"
Left = Callable[[str], list[int]]


def sh(folder: Path, script: str, **changes: Any) -> Completed:
    return begin(folder, ["/bin/sh", "-c", script], **changes)


def begin(folder: Path, argv: list[str], **changes: Any) -> Completed:
    options: dict[str, Any] = {
        "cwd": folder, "env": environment(), "log": folder / "log", "marker": MARKER, "timeout": 20.0,
        "stop": lambda: False,
    }  # fmt: skip
    return run(argv, **{**options, **changes})


def pid_in(path: Path) -> int:
    return int(wait_until(lambda: path.exists() and path.read_text().strip(), f"{path.name} is written"))


def test_both_streams_and_the_exit_status_are_kept(tmp_path: Path) -> None:
    done = sh(tmp_path, "echo out; echo err >&2; exit 7")
    assert (done.ending, done.returncode, done.stdout, done.stderr) == (Ending.EXITED, 7, "out\n", "err\n")
    assert sorted((tmp_path / "log").read_text().splitlines()) == ["err", "out"]
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600
    assert 0 < done.seconds < 20


def test_a_program_that_a_signal_ended_has_a_negative_status(tmp_path: Path) -> None:
    done = sh(tmp_path, "kill -9 $$")
    assert (done.ending, done.returncode) == (Ending.EXITED, -signal.SIGKILL)


def test_the_log_is_written_while_it_runs_and_appended_to(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("before\n")
    seen: list[str] = []

    def stop() -> bool:
        seen.append((tmp_path / "log").read_text())
        if "now" in seen[-1]:
            (tmp_path / "go").touch()
        return False

    done = sh(tmp_path, "echo now; while [ ! -e go ]; do sleep 0.02; done; echo end", stop=stop)
    assert done.stdout == "now\nend\n"
    assert "before\nnow\n" in seen
    assert (tmp_path / "log").read_text() == "before\nnow\nend\n"


def test_it_runs_in_the_given_directory_with_exactly_the_given_environment(tmp_path: Path) -> None:
    done = begin(tmp_path, ["/usr/bin/env"], env={"A": "1"})
    assert set(done.stdout.split()) == {"A=1", f"{marks.MARKER}={MARKER}"}
    assert sh(tmp_path, "pwd").stdout.strip() == str(tmp_path)


def test_no_key_and_no_setting_of_ours_reaches_a_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("API_KEY", "MACHINE_KEY", "GITHUB_WEBHOOK_SECRET", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH",
                 "GIT_DIR", "SSH_AUTH_SOCK", "BASH_ENV", "ENV", "LD_LIBRARY_PATH"):  # fmt: skip
        monkeypatch.setenv(name, "fake-secret")
    monkeypatch.setenv("LC_TIME", "C")
    monkeypatch.setenv("PATH", f".:relative::{os.environ['PATH']}")
    done = begin(tmp_path, ["/usr/bin/env"])
    assert "fake-secret" not in done.stdout
    shown = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert shown["LC_TIME"] == "C"
    assert all(entry.startswith("/") for entry in shown["PATH"].split(":"))
    assert shown.keys() <= {
        "HOME", "LANG", "LOGNAME", "SHELL", "TMPDIR", "TZ", "USER", "PATH", "TERM", marks.MARKER,
        *(name for name in shown if name.startswith("LC_")),
    }  # fmt: skip


def test_there_is_nobody_to_answer_questions(tmp_path: Path) -> None:
    done = sh(tmp_path, 'read answer; echo "read $?"; (: </dev/tty) 2>/dev/null || echo no terminal')
    assert done.stdout == "read 1\nno terminal\n"


def test_open_files_of_the_worker_are_not_inherited(tmp_path: Path) -> None:
    with (tmp_path / "secret").open("w") as secret:
        os.set_inheritable(secret.fileno(), True)
        done = sh(tmp_path, "ls -l /proc/self/fd")
    assert "secret" not in done.stdout


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["no-such-program"], "no-such-program"), (["/no/such/program"], "/no/such/program"), ([""], "''"),
        (["/etc/passwd"], "/etc/passwd"), (["/"], "'/'"), (["echo", "a\x00b"], "echo"),
        (["echo", "\ud800"], "echo"),
        (["echo", "x" * 3_000_000], "echo"),
    ],
)  # fmt: skip
def test_what_cannot_be_started_is_said(tmp_path: Path, argv: list[str], word: str) -> None:
    with pytest.raises(CannotStart) as refused:
        begin(tmp_path, argv)
    assert word in str(refused.value)
    assert len(str(refused.value)) < 300


def test_a_directory_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=r"directory.*gone"):
        begin(tmp_path, ["true"], cwd=tmp_path / "gone")


def test_a_list_is_never_seen_by_a_shell(tmp_path: Path) -> None:
    assert begin(tmp_path, ["echo", "$HOME;", "`id`", "*"]).stdout == "$HOME; `id` *\n"


def test_time_is_up_for_a_program_that_listens_and_one_that_does_not(tmp_path: Path, leftovers: Left) -> None:
    done = sh(tmp_path, "echo begun; sleep 300", timeout=0.3)
    assert (done.ending, done.stdout, done.returncode) == (Ending.TIMED_OUT, "begun\n", -signal.SIGTERM)
    done = sh(tmp_path, "trap '' TERM; echo deaf; while :; do sleep 0.05; done", timeout=0.3)
    assert (done.ending, done.stdout, done.returncode) == (Ending.TIMED_OUT, "deaf\n", -signal.SIGKILL)
    assert done.seconds < 10
    assert leftovers(MARKER) == []


def test_a_program_may_tidy_up_before_it_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE_S", 10.0)
    done = sh(tmp_path, "trap 'echo tidy; exit 5' TERM; echo up; while :; do sleep 0.02; done", timeout=0.3)
    assert (done.ending, done.stdout, done.returncode) == (Ending.TIMED_OUT, "up\ntidy\n", 5)


DAEMON = """
import os, signal, sys, time
if os.fork(): os.waitpid(-1, 0); {parent}; os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
{close}
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(300)
"""
KEEP, CLOSE = "pass", "os.closerange(0, 3)"
WAIT = "\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.01)\n"


def daemon(tmp_path: Path, *, parent: str, close: str) -> list[str]:
    script = DAEMON.replace("{parent}", "time.sleep(300)" if parent == "stays" else "exec(WAIT)")
    script = f"WAIT = {WAIT!r}\n" + script.replace("{close}", close)
    return [sys.executable, "-c", script, str(tmp_path / "pid")]


@pytest.mark.parametrize("close", [KEEP, CLOSE], ids=["holds the pipe", "holds nothing"])
def test_a_grandchild_in_a_session_of_its_own_ends_with_the_time_out(
    tmp_path: Path, leftovers: Left, close: str
) -> None:
    done = begin(tmp_path, daemon(tmp_path, parent="stays", close=close), timeout=1.0)
    assert done.ending is Ending.TIMED_OUT
    assert not is_alive(pid_in(tmp_path / "pid"))
    assert leftovers(MARKER) == []


@pytest.mark.parametrize("close", [KEEP, CLOSE], ids=["holds the pipe", "holds nothing"])
def test_a_daemon_that_is_left_behind_ends_with_its_program(
    tmp_path: Path, leftovers: Left, close: str
) -> None:
    done = begin(tmp_path, daemon(tmp_path, parent="leaves", close=close))
    assert (done.ending, done.returncode) == (Ending.EXITED, 0)
    assert not is_alive(pid_in(tmp_path / "pid"))
    assert leftovers(MARKER) == []


def test_a_background_process_that_holds_the_pipe_holds_nobody_up(tmp_path: Path, leftovers: Left) -> None:
    done = sh(tmp_path, "sleep 300 & echo hi")
    assert (done.ending, done.returncode, done.stdout) == (Ending.EXITED, 0, "hi\n")
    assert done.seconds < 10
    assert leftovers(MARKER) == []


def test_the_caller_can_stop_it(tmp_path: Path, leftovers: Left) -> None:
    done = sh(tmp_path, "touch up; sleep 300", stop=(tmp_path / "up").exists)
    assert done.ending is Ending.STOPPED
    assert leftovers(MARKER) == []


def test_a_program_that_would_fill_the_disk_is_stopped(tmp_path: Path) -> None:
    done = begin(tmp_path, ["yes"], manners=Manners(most_bytes=2_000_000))
    assert done.ending is Ending.TOO_MUCH_OUTPUT
    assert (tmp_path / "log").stat().st_size < 10_000_000
    assert "characters left out" in done.stdout


def test_a_secret_is_nowhere_though_it_comes_in_two_pieces(tmp_path: Path) -> None:
    code = "printf 'key is hush-this'; sleep 0.2; echo '-is-secret.'; printf '%s' hush-this-is-secret >&2"
    done = sh(tmp_path, code, manners=Manners(redactor=Redactor(["hush-this-is-secret"])))
    assert (done.stdout, done.stderr) == ("key is [redacted].\n", "[redacted]")
    assert "hush" not in (tmp_path / "log").read_text()


def test_a_line_without_an_end_is_in_the_log_at_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    seen = lambda: log.exists() and log.read_text() == "45 %"  # noqa: E731
    done = sh(
        tmp_path,
        "printf '45 %%'; sleep 300",
        manners=Manners(redactor=Redactor(["hush-this-is-secret"])),
        stop=seen,
    )
    assert done.ending is Ending.STOPPED


def test_a_lot_of_output_before_the_end_arrives_whole(tmp_path: Path) -> None:
    done = sh(tmp_path, "head -c 3000000 /dev/zero | tr '\\0' x; head -c 300000 /dev/zero | tr '\\0' y >&2")
    assert (tmp_path / "log").stat().st_size == 3_300_000
    assert "2900000 characters left out" in done.stdout
    assert "200000 characters left out" in done.stderr


def test_when_the_log_cannot_be_written_the_program_goes_on_and_the_record_says_so(tmp_path: Path) -> None:
    done = sh(tmp_path, "echo one; echo two >&2; sleep 0.2; echo three", log=Path("/dev/full"))
    assert (done.ending, done.returncode, done.stderr) == (Ending.EXITED, 0, "two\n")
    assert done.stdout.startswith("one\nthree\n\n[The log of this is not whole: ")
    assert "No space left" in done.stdout


def test_a_disk_that_takes_less_than_it_is_given_gets_the_rest_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, text: write(file, bytes(text)[:3]))
    with output.open_log(tmp_path / "log") as sink:
        output.write_all(sink, "half a \ud83d, and äöü")
    assert (tmp_path / "log").read_text() == "half a ?, and äöü"


def broken(_: str) -> str:
    raise RuntimeError("A fault of ours")


def test_whatever_goes_wrong_nothing_is_left_running(tmp_path: Path, leftovers: Left) -> None:
    with pytest.raises(RuntimeError):
        sh(tmp_path, "echo $$; sleep 300", manners=Manners(translate=broken))
    assert leftovers(MARKER) == []


def test_not_even_when_the_program_itself_has_ended_already(
    tmp_path: Path, leftovers: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "DRAIN_S", 10.0)
    manners = Manners(translate=broken)
    with pytest.raises(RuntimeError):
        sh(tmp_path, "sleep 300 & sleep 0.2; echo hi", manners=manners)
    with pytest.raises(RuntimeError):
        sh(tmp_path, "setsid sh -c 'sleep 0.5; echo late; exec sleep 300' & ", manners=manners)
    assert leftovers(MARKER) == []


def test_without_a_file_descriptor_to_look_with_the_group_is_killed_and_the_rest_found_later(
    tmp_path: Path, leftovers: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, left = os.scandir, [OSError(errno.EMFILE, "Too many open files")] * 3

    def scandir(path: str) -> Any:
        if left:
            raise left.pop()
        return scan(path)

    monkeypatch.setattr(marks.os, "scandir", scandir)
    done = sh(tmp_path, "setsid sleep 300 & sleep 300", timeout=0.3)
    assert done.ending is Ending.TIMED_OUT
    assert not left
    assert leftovers(MARKER) == []


def test_that_nothing_can_be_started_now_is_not_the_programs_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(process.subprocess, "Popen", full)
    with pytest.raises(BlockingIOError):
        sh(tmp_path, "true")


def test_a_folder_for_the_log_that_is_not_there_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sh(tmp_path, "touch started", log=tmp_path / "nowhere" / "log")
    assert not (tmp_path / "started").exists()


def test_signals_to_the_worker_do_not_reach_what_it_runs(tmp_path: Path) -> None:
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from worker import process\n"
        "from worker.environment import environment\n"
        "here = Path(sys.argv[2])\n"
        "done = process.run(['/bin/sh', '-c', 'kill -0 $$; ps -o pgid= -p $$ > group; touch up;"
        " while [ ! -e go ]; do sleep 0.02; done; echo end'], cwd=here, env=environment(),"
        " log=here / 'log', marker='m', timeout=20, stop=lambda: False)\n"
        "(here / 'result').write_text(done.stdout)\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", code, str(ROOT), str(tmp_path)], start_new_session=True)
    try:
        wait_until((tmp_path / "up").exists, "the program runs")
        assert int((tmp_path / "group").read_text()) != os.getpgid(worker.pid)
        (tmp_path / "go").touch()
        assert worker.wait(10) == 0
    finally:
        worker.kill()
        worker.wait()
    assert (tmp_path / "result").read_text() == "end\n"


def test_a_program_that_may_not_be_killed_does_not_hold_the_worker_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leftovers: Left
) -> None:
    # As if it were somebody else's, like a program under sudo.
    monkeypatch.setattr(descendants, "signal_all", lambda *_: None)
    monkeypatch.setattr(marks, "signal_all", lambda *_: None)
    monkeypatch.setattr(descendants, "KILL_S", 0.2)
    done = begin(tmp_path, ["sleep", "300"], timeout=0.1)
    assert (done.ending, done.returncode) == (Ending.TIMED_OUT, -signal.SIGKILL)
    monkeypatch.undo()
    (left,) = leftovers(MARKER)
    assert marks.sweep(MARKER) == 1
    os.waitpid(left, 0)


def test_starting_and_ending_a_program_costs_little(tmp_path: Path) -> None:
    times = []
    for _ in range(5):
        begun = time.monotonic()
        begin(tmp_path, ["true"])
        times.append(time.monotonic() - begun)
    assert min(times) < 0.5


def test_a_program_is_found_where_it_is_now(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    env = {"PATH": f"{first}:{second}"}
    with pytest.raises(CannotStart, match="There is no program 'tool'"):
        begin(tmp_path, ["tool"], env=env)

    def install(folder: Path) -> None:
        (folder / "tool").write_text(f"#!/bin/sh\necho {folder.name}\n")
        (folder / "tool").chmod(0o755)

    install(second)
    assert begin(tmp_path, ["tool"], env=env).stdout == "second\n", "it came meanwhile"
    install(first)
    (second / "tool").unlink()
    assert begin(tmp_path, ["tool"], env=env).stdout == "first\n", "it went elsewhere"
