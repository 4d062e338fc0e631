"""`python -m viewer` as a process: it starts, says where, and stops; or says in one sentence why not."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from tests.chain import end
from tests.viewer.machine import MACHINE_KEY, Machine
from viewer.settings import Settings


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
    said = failure(root, VIEWER_PORT="many", VIEWER_HOST="0.0.0.0")
    assert "VIEWER_PORT: " in said
    assert "VIEWER_HOST: only 127.0.0.1 or localhost is allowed" in said
    assert "MACHINE_KEY is missing" in failure(root, MACHINE_KEY="")


@pytest.mark.parametrize("name", ["SQLITE_PATH", "QUEUE_URL"])
def test_records_that_cannot_be_used_are_one_sentence(root: Path, tmp_path: Path, name: str) -> None:
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"this is no database, whatever its name says" * 100)
    assert "damaged.db" in failure(root, **{name: str(damaged)})
    assert "nowhere" in failure(root, **{name: str(tmp_path / "nowhere" / "x.db")})


def test_settings_have_defaults_and_an_empty_value_means_not_set() -> None:
    settings = Settings.read({"VIEWER_PORT": "", "VIEWER_HOST": ""})
    assert (settings.viewer_host, settings.viewer_port) == ("127.0.0.1", 5001)
    with pytest.raises(ValidationError, match="VIEWER_PORT"):
        Settings.read({"VIEWER_PORT": "65536"})
