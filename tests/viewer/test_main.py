"""`python -m viewer` as a process: it starts, says where, and stops; or says in one sentence why not."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from relay.mistakes import explain
from tests.chain import end
from tests.viewer.machine import MACHINE_KEY, Machine
from viewer.devices import Devices
from viewer.settings import Settings
from worker import marks


def begin(root: Path, **settings: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(root), "MACHINE_KEY": MACHINE_KEY, **settings}
    command = [sys.executable, "-m", "viewer"]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def failure(root: Path, **settings: str) -> str:
    """What it says when it cannot start."""
    viewer = begin(root, **settings)
    _, said = viewer.communicate(timeout=20)
    assert viewer.returncode == 1
    assert said.startswith("The viewer cannot start: ")
    assert said.count("\n") == 1
    return said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_and_stops_when_told(
    root: Path, machine: Machine, number: signal.Signals
) -> None:
    task = machine.ended(title="Say hello", printed="hello\n" * 5_000_000)
    viewer = begin(root, **machine.environment, VIEWER_PORT="0")
    try:
        assert viewer.stderr is not None
        said = viewer.stderr.readline()
        assert said.startswith("The viewer is at http://127.0.0.1:")
        address = said.split()[-1].rstrip(".")
        answer = httpx.get(address, trust_env=False)
        assert "Say hello" in answer.text
        assert "server" not in answer.headers
        assert viewer.stderr.readline().startswith(f"Connect this browser: {address}/login?code=")
        # A download that nobody reads must not hold it.
        with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as reader:
            reader.sendall(f"GET /t/{task.id}/raw HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert reader.recv(10) == b"HTTP/1.1 2"
            viewer.send_signal(number)
            _, rest = viewer.communicate(timeout=2)
        assert (viewer.returncode, rest) == (0, "")
    finally:
        end(viewer)


def test_a_port_in_use_is_one_sentence(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        said = failure(root, VIEWER_PORT=port)
    assert f"VIEWER_PORT {port} cannot be used (Address already in use)" in said
    assert "set another VIEWER_PORT in .env" in said


def test_wrong_settings_are_one_sentence(root: Path) -> None:
    said = failure(root, VIEWER_PORT="many", VIEWER_HOST="everywhere", VIEWER_ORIGINS="laptop")
    assert "VIEWER_PORT: " in said
    assert "VIEWER_HOST: an IPv4 address of this machine is needed" in said
    assert "VIEWER_ORIGINS: write addresses as https://" in said
    assert "QUEUE_URL: only a SQLite file is supported so far" in failure(root, QUEUE_URL="redis://here")


def test_it_opens_to_others_only_when_it_is_said_where_they_sign_in() -> None:
    with pytest.raises(ValidationError) as problem:
        Settings.read({"VIEWER_HOST": "0.0.0.0"})
    said = explain(problem.value)
    assert "VIEWER_HOST 0.0.0.0 lets other devices in, but nothing says where they sign in" in said
    assert re.search(
        r"set VIEWER_ORIGINS=http://[\d.]+:5001 as well, or leave VIEWER_HOST at 127.0.0.1", said
    )
    assert not Settings.read({"VIEWER_HOST": "localhost"}).reaches_out


@pytest.mark.parametrize(
    ("host", "origins", "own"),
    [
        ("127.0.0.1", "", "http://127.0.0.1:80"),
        ("localhost", "https://laptop.example", "http://127.0.0.1:80"),
        ("0.0.0.0", "https://laptop.example", "http://127.0.0.1:80"),
        ("10.0.0.7", "https://laptop.example,http://10.0.0.7:80", "http://10.0.0.7"),
        ("10.0.0.7", "https://laptop.example", "https://laptop.example"),
    ],
)
def test_the_printed_link_leads_to_where_it_listens(host: str, origins: str, own: str) -> None:
    assert Settings.read({"VIEWER_HOST": host, "VIEWER_ORIGINS": origins}).own_address(80) == own


def test_whoever_comes_through_a_proxy_must_sign_in_also_on_the_real_server(
    root: Path, machine: Machine
) -> None:
    machine.ended(title="Say hello")
    viewer = begin(root, **machine.environment, VIEWER_PORT="0")
    try:
        assert viewer.stderr is not None
        address = viewer.stderr.readline().split()[-1].rstrip(".")
        for header in ("X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "Tailscale-User-Login"):
            answer = httpx.get(address, headers={header: "100.64.0.9"}, trust_env=False)
            assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/"), header
    finally:
        viewer.terminate()
        viewer.communicate(timeout=10)


def login(
    root: Path, machine: Machine, preexec_fn: Callable[[], None] | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(root), **machine.environment, **more}
    command = [sys.executable, "-m", "viewer", "login"]
    return subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
        preexec_fn=preexec_fn,
    )


def test_the_command_login_prints_a_link_and_a_code_that_work(
    root: Path, machine: Machine, tmp_path: Path
) -> None:
    devices = Devices(tmp_path / "tasks.devices.db")
    shown = login(root, machine, VIEWER_ORIGINS="https://laptop.example")
    assert (shown.returncode, shown.stderr) == (0, "")
    link = re.search(r"http://127.0.0.1:5001/login\?code=(\S+)", shown.stdout)
    assert link
    assert f"Code          {link[1]}\n" in shown.stdout
    assert "https://laptop.example/login\n" in shown.stdout
    assert devices.find(devices.connect(link[1], address="x", name="x"))
    devices.close()


def test_a_code_for_nobody_is_not_printed(root: Path, machine: Machine) -> None:
    shown = login(root, machine)
    assert (shown.returncode, shown.stdout) == (1, "")
    assert "start the viewer, or go to the folder where it runs" in shown.stderr


def test_a_task_gets_no_code(
    root: Path, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, other = marks.marker_of(tmp_path / "tasks.db"), marks.marker_of(tmp_path / "other.db")
    shown = login(root, machine, AI_WEBHOOK_RUN=f"{other}.1:2 {ours}.1:2")
    assert (shown.returncode, shown.stdout) == (1, "")
    assert "A task cannot connect a browser" in shown.stderr
    # As when this suite runs as a task: of other records.
    monkeypatch.setenv("AI_WEBHOOK_RUN", f"{other}.1:2")
    assert not marks.is_on_us(ours)


@pytest.mark.parametrize("name", ["SQLITE_PATH", "QUEUE_URL"])
def test_records_that_cannot_be_used_are_one_sentence(root: Path, tmp_path: Path, name: str) -> None:
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"this is no database, whatever its name says" * 100)
    assert "damaged.db" in failure(root, **{name: str(damaged)})
    said = failure(root, **{name: str(tmp_path / "nowhere" / "x.db")})
    assert "nowhere/x.db" in said
    assert "Errno" not in said


def test_a_damaged_file_of_its_own_is_made_anew_and_said(
    root: Path, machine: Machine, tmp_path: Path
) -> None:
    machine.ended(title="Say hello")
    (tmp_path / "tasks.viewer.db").write_bytes(b"this is no database, whatever its name says" * 100)
    viewer = begin(root, **machine.environment, VIEWER_PORT="0")
    try:
        assert viewer.stderr is not None
        said = viewer.stderr.readline()
        assert "tasks.viewer.db was damaged (file is not a database) and is made anew" in said
        address = viewer.stderr.readline().split()[-1].rstrip(".")
        assert "Say hello" in httpx.get(f"{address}/?q=hello", trust_env=False).text
    finally:
        viewer.terminate()
        viewer.communicate(timeout=10)


def test_a_damaged_file_of_devices_is_named_with_the_way_out(
    root: Path, machine: Machine, tmp_path: Path
) -> None:
    damaged = tmp_path / "tasks.devices.db"
    damaged.write_bytes(b"this is no database, whatever its name says" * 100)
    words = f"{damaged} is damaged (file is not a database); move it away, start the viewer"
    said = failure(root, **machine.environment)
    assert words in said
    assert ".env" not in said
    assert login(root, machine).stderr.startswith(f"There is no code: {words}")


def test_what_keeps_a_code_from_being_made_is_said(root: Path, machine: Machine, tmp_path: Path) -> None:
    Devices(tmp_path / "tasks.devices.db").close()
    # No file may grow: as near to a full disk as a test gets.
    shown = login(root, machine, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr.startswith(f"There is no code: {tmp_path / 'tasks.devices.db'} cannot be used (")
    assert "see that the disk has room" in shown.stderr
    assert ".env" not in shown.stderr


def test_settings_have_defaults_and_an_empty_value_means_not_set() -> None:
    settings = Settings.read({"VIEWER_PORT": "", "VIEWER_HOST": ""})
    assert (settings.viewer_host, settings.viewer_port) == ("127.0.0.1", 5001)
    with pytest.raises(ValidationError, match="VIEWER_PORT"):
        Settings.read({"VIEWER_PORT": "65536"})
