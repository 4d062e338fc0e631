"""`python -m relay` as a process: what a kill leaves, a full disk, a stop, and a start that cannot be."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from relay.server import CannotListen, listen
from tests.chain import API_KEY, MACHINE_KEY, ROOT, end, free_port, wait_until

SETTINGS = {"API_KEY": API_KEY, "MACHINE_KEY": MACHINE_KEY, "HOST": "127.0.0.1"}


def begin(folder: Path, **settings: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **SETTINGS, **settings}
    return subprocess.Popen(
        [sys.executable, "-m", "relay"], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    )


@contextmanager
def running(folder: Path, port: int) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    process = begin(folder, PORT=str(port))
    client = httpx.Client(
        base_url=f"http://127.0.0.1:{port}", headers={"X-API-Key": API_KEY}, trust_env=False, timeout=20
    )
    try:
        wait_until(lambda: _answers(client), "the relay answers")
        yield process, client
    finally:
        client.close()
        end(process)
        assert process.stderr is not None
        process.stderr.close()


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/").status_code == 200
    except httpx.TransportError:
        return False


def command(task_id: str, text: str = "") -> dict[str, object]:
    return {
        "type": "task_command",
        "data": {"task_id": task_id, "action_type": "git", "params": {"text": text}},
    }


def test_what_was_answered_with_202_survives_a_kill(tmp_path: Path) -> None:
    port = free_port()
    for round_number in range(3):
        with running(tmp_path, port) as (process, client):
            known = [task["task_id"] for task in client.get("/tasks").json()["tasks"]]
            assert sorted(known) == [f"t{number}" for number in range(round_number)]
            assert client.post("/webhook", json=command(f"t{round_number}")).status_code == 202
            process.send_signal(signal.SIGKILL)
            process.wait(10)


def test_a_full_disk_is_503_and_what_was_accepted_stays(tmp_path: Path) -> None:
    with running(tmp_path, free_port()) as (process, client):
        assert client.post("/webhook", json=command("before")).status_code == 202
        limit = sum(path.stat().st_size for path in tmp_path.glob("relay.db*")) + 100_000
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        answers = [client.post("/webhook", json=command(f"t{n}", "x" * 50_000)) for n in range(12)]
        codes = [answer.status_code for answer in answers]
        assert set(codes) == {202, 503}
        refused = answers[codes.index(503)]
        assert refused.json()["code"] == "unavailable"
        assert int(refused.headers["retry-after"]) > 0
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert client.post("/webhook", json=command("after")).status_code == 202
        known = {task["task_id"] for task in client.get("/tasks", params={"limit": 50}).json()["tasks"]}
        accepted = {f"t{n}" for n, code in enumerate(codes) if code == 202}
        assert known == {"before", "after"} | accepted


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_it_soon_and_quietly(tmp_path: Path, number: int) -> None:
    with running(tmp_path, free_port()) as (process, _):
        process.send_signal(number)
        assert process.wait(8) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def _sentence(folder: Path, **settings: str) -> str:
    process = begin(folder, **settings)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 1, said
    return said


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        said = _sentence(tmp_path, PORT=str(other.getsockname()[1]))
    assert "PORT" in said
    assert "in use" in said


def test_wrong_settings_are_one_sentence_without_a_key(tmp_path: Path) -> None:
    said = _sentence(tmp_path, API_KEY=MACHINE_KEY)
    assert "share a key" in said
    assert MACHINE_KEY not in said
    assert "API_KEY" in _sentence(tmp_path, API_KEY="", PORT="x")


def test_a_database_in_the_wrong_place_is_one_sentence(tmp_path: Path) -> None:
    assert "nowhere" in _sentence(tmp_path, PORT="0", RELAY_SQLITE_PATH="nowhere/relay.db")


def test_an_unreadable_env_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"API_KEY=\xff\xfe\n")
    _sentence(tmp_path)


def test_the_address_may_be_wrong(tmp_path: Path) -> None:
    assert "HOST" in _sentence(tmp_path, HOST="192.0.2.1", PORT="0")


def test_answers_are_not_held_back_by_the_network_stack() -> None:
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    with pytest.raises(CannotListen, match="PORT"):
        listen("192.0.2.1", 0)
