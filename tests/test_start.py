"""`make run`, from the point at which everything is installed: what a new user meets."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import httpx
import pytest

from tests.chain import ROOT, children_of, end, free_port, git, is_alive, wait_until
from worker import setup


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a fresh clone has, as far as starting it goes."""
    folder = tmp_path / "ai-webhook"
    folder.mkdir()
    for name in ("Procfile", "README.md"):
        shutil.copy(ROOT / name, folder)
    git(folder, "init", "-q", "-b", "main")
    return folder


class Start:
    """`python -m worker.start` in a checkout, on ports that nobody uses."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.log = folder.parent / "start.log"
        ports = {"PORT": str(free_port()), "VIEWER_PORT": str(free_port())}
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), **ports, **settings}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "worker.start"], cwd=folder, env=self.environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def greeting(self) -> str:
        return str(wait_until(lambda: "Read on" in self.text() and self.text(), "the greeting", 30))

    def stop(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(10)


@pytest.fixture
def started(checkout: Path) -> Iterator[Start]:
    start = Start(checkout)
    yield start
    if start.process.poll() is None:
        start.stop()


def link_connects_a_browser_once(greeting: str) -> None:
    link = re.search(r"See +(http://127\.0\.0\.1:\d+)/login\?code=(\S+)", greeting)
    assert link is not None
    viewer, code = link.groups()
    with httpx.Client(base_url=viewer, headers={"Origin": viewer}, trust_env=False) as browser:
        assert browser.post("/connect/forget").status_code == 403
        page = browser.get("/login", params={"code": code})
        assert "Connect this browser?" in page.text
        assert browser.post("/login", data={"code": code}).status_code == 303
        assert "Sign out" in browser.get("/connect").text
        browser.cookies.clear()
        assert browser.post("/login", data={"code": code}).status_code == 403


def test_the_printed_command_and_link_work_and_ctrl_c_leaves_no_process(started: Start) -> None:
    greeting = started.greeting()
    link_connects_a_browser_once(greeting)
    command = re.search(r"curl -sS .*?'\n", greeting, re.DOTALL)
    assert command is not None
    shown = subprocess.run(command[0], shell=True, capture_output=True, text=True, check=True, timeout=40)
    assert '"status":"completed"' in shown.stdout
    assert "On branch main" in shown.stdout
    processes = children_of(started.process.pid)
    assert len(processes) >= 4
    started.stop()
    assert started.process.returncode == 0
    wait_until(lambda: not any(map(is_alive, processes)), "every process is gone", 5)


def test_the_first_start_makes_private_files_and_the_second_leaves_them_alone(checkout: Path) -> None:
    first = Start(checkout)
    first.greeting()
    first.stop()
    made = {name: (checkout / name).read_text() for name in (".env", "policy.toml")}
    for name in (".env", "policy.toml", "tasks.db", "tasks.devices.db", "relay.db", "queue.db"):
        assert (checkout / name).stat().st_mode & 0o777 == 0o600, name
    keys = re.findall(r"^(?:API|MACHINE)_KEY=(\S{40,})$", made[".env"], re.MULTILINE)
    assert len(set(keys)) == 2
    second = Start(checkout)
    second.greeting()
    second.stop()
    assert "Wrote" not in second.text()
    assert made == {name: (checkout / name).read_text() for name in made}


def test_no_key_is_in_the_environment_of_a_process(checkout: Path, started: Start) -> None:
    started.greeting()
    keys = re.findall(r"^[A-Z]+_KEY=(\S+)$", (checkout / ".env").read_text(), re.MULTILINE)
    for pid in children_of(started.process.pid):
        environment = (Path("/proc") / str(pid) / "environ").read_text(errors="replace")
        assert not any(key in environment for key in keys)


def test_when_one_of_them_dies_it_says_which_and_how_to_go_on(checkout: Path, started: Start) -> None:
    (checkout / "policy.toml").write_text("version = 2\n")
    assert "But      policy.toml cannot be used" in started.greeting()
    (worker,) = (
        pid
        for pid in children_of(started.process.pid)
        if (Path("/proc") / str(pid) / "cmdline").read_bytes().endswith(b"-m\0worker\0")
    )
    os.kill(worker, signal.SIGKILL)
    started.process.wait(20)
    assert started.process.returncode == 1
    why, way = started.text().splitlines()[-2:]
    assert why == "The worker was ended by signal 9, so all of it was stopped."
    assert way == "Start again with: make run"


def test_the_last_words_of_what_ended_by_itself_are_repeated(checkout: Path) -> None:
    (checkout / "tasks.db").write_bytes(b"no database " * 1_000)
    start = Start(checkout)
    start.process.wait(20)
    why = start.text().splitlines()[-2]
    ended = (
        r"The \w+ ended by itself, so all of it was stopped\. It said last: The \w+ cannot start: the records"
    )
    assert re.match(ended, why), why


def refused(folder: Path, **settings: str) -> str:
    """Start where it cannot work: one sentence, not a traceback, and not exit status 0."""
    start = Start(folder, **settings)
    try:
        start.process.wait(20)
    finally:
        # Asked, not killed: honcho's own processes would be left behind.
        end(start.process, signal.SIGINT)
    assert start.process.returncode != 0
    assert "Traceback" not in start.text()
    sentence = start.text().strip().splitlines()[-1]
    assert sentence.startswith("Cannot start: ")
    return sentence


@pytest.mark.parametrize("name", ["PORT", "VIEWER_PORT"])
def test_a_port_in_use_is_named(checkout: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sentence = refused(checkout, **{name: str(port)})
    assert f"port {port} " in sentence
    assert f"another {name} in .env" in sentence


def test_a_missing_git_is_named(checkout: Path) -> None:
    assert "git is not installed" in refused(checkout, PATH="/nonexistent")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"API_KEY=\xff\xfe\n", "utf-8"),
        (b"API_KEY=short\nMACHINE_KEY=fake-machine-key-for-tests\n", "API_KEY"),
        (b"\n", "MACHINE_KEY is missing"),
        (
            b"API_KEY=fake-api-key-for-tests\nMACHINE_KEY=fake-machine-key-for-tests\nWORKERS=many\n",
            "WORKERS",
        ),
    ],
)
def test_an_env_file_that_cannot_be_used_says_why(checkout: Path, content: bytes, words: str) -> None:
    (checkout / ".env").write_bytes(content)
    sentence = refused(checkout)
    assert words in sentence
    assert "short" not in sentence


def test_an_env_that_is_a_folder_says_why(checkout: Path) -> None:
    (checkout / ".env").mkdir()
    assert ".env" in refused(checkout)


def test_an_env_that_may_not_be_read_says_why(checkout: Path) -> None:
    # Root may read everything but this.
    (checkout / ".env").symlink_to("/proc/self/mem")
    assert ".env cannot be read" in refused(checkout)


def test_honcho_start_connects_them_though_it_gives_each_a_port(checkout: Path) -> None:
    port, viewer_port = free_port(), free_port()
    (checkout / ".env").write_text(
        "API_KEY=fake-api-key-for-tests\nMACHINE_KEY=fake-machine-key-for-tests\n"
        f"PORT={port}\nVIEWER_PORT={viewer_port}\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PORT"}
    environment |= {"PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with (checkout / "honcho.log").open("wb") as log:
        honcho = subprocess.Popen(
            [sys.executable, "-m", "honcho", "start"], cwd=checkout, env=environment,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        wait_until(lambda: "Connected to the relay" in (checkout / "honcho.log").read_text(), "a session", 20)
        assert httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).json()["connected_clients"] == 1
    finally:
        end(honcho, signal.SIGINT)


def test_an_env_that_could_not_be_written_whole_is_not_in_the_way_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fdopen(handle: int, mode: str, encoding: str) -> TextIO:
        # The file has been made, and there is no room to write into it.
        os.close(handle)
        return Path("/dev/full").open(mode, encoding=encoding)

    with monkeypatch.context() as full:
        full.setattr(setup.os, "fdopen", fdopen)
        with pytest.raises(setup.CannotSetUp, match=r"\.env cannot be written \(No space left on device\)"):
            setup.write_env(tmp_path / ".env")
    assert setup.write_env(tmp_path / ".env")
    assert not setup.write_env(tmp_path / ".env"), "nothing is overwritten"


def test_make_run_writes_the_policy_where_the_settings_say(checkout: Path) -> None:
    (checkout / "conf").mkdir()
    start = Start(checkout, POLICY_PATH="conf/my-policy.toml")
    assert "Wrote conf/my-policy.toml." in start.greeting()
    start.stop()
    assert "But " not in start.text()
    assert not (checkout / "policy.toml").exists()


def test_a_viewer_that_answers_to_another_name_only_is_up(checkout: Path) -> None:
    start = Start(checkout, VIEWER_HOST="127.0.0.2", VIEWER_ORIGINS="https://laptop.example")
    assert "See      https://laptop.example/login?code=" in start.greeting()
    start.stop()


@pytest.mark.parametrize("part", ["relay", "listener", "worker"])
def test_each_process_says_in_one_sentence_that_settings_are_missing(tmp_path: Path, part: str) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", part],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    assert shown.returncode == 1
    assert shown.stderr.startswith(f"The {part} cannot start: ")
    assert "MACHINE_KEY is missing" in shown.stderr
    assert shown.stderr.count("\n") == 1
