"""`python -m listener` as a process."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chain import MACHINE_KEY, ROOT
from tests.listener.conftest import Relay, Session


def start(folder: Path, **settings: str) -> subprocess.Popen[str]:
    own = {"PYTHONPATH": str(ROOT), "MACHINE_KEY": MACHINE_KEY, **settings}
    return subprocess.Popen(
        [sys.executable, "-m", "listener"],
        cwd=folder,
        env={**os.environ, **own},
        stderr=subprocess.PIPE,
        text=True,
    )


async def over(process: subprocess.Popen[str], seconds: float = 20) -> str:
    """What it said, once it has ended."""
    try:
        _, said = await asyncio.to_thread(process.communicate, timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        _, said = process.communicate()
        raise AssertionError(f"it did not end: {said}") from None
    return said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_it_hears_is_on_disk_and_a_signal_ends_it_soon(
    tmp_path: Path, relay: Relay, number: signal.Signals
) -> None:
    async def main() -> None:
        acknowledged = asyncio.Event()

        async def talk(session: Session) -> None:
            await session.welcome()
            await session.webhook(1)
            assert (await session.hear())["type"] == "ack"
            acknowledged.set()
            await session.is_closed()

        async with relay.serve(talk):
            process = start(tmp_path, PORT=str(relay.port))
            try:
                await asyncio.wait_for(acknowledged.wait(), 15)
                process.send_signal(number)
                said = await over(process, 5)
            finally:
                process.kill()
        assert process.returncode == 0
        assert "The listener stops." in said
        assert "Traceback" not in said

    asyncio.run(main())
    records = sqlite3.connect(tmp_path / "tasks.db")
    assert records.execute("SELECT delivery_id, event FROM events").fetchall() == [("d1", "note")]
    records.close()


def test_a_signal_ends_it_soon_also_while_the_relay_is_away(tmp_path: Path) -> None:
    async def main() -> None:
        process = start(tmp_path, PORT="9")
        try:
            assert process.stderr is not None
            assert "Not connected" in await asyncio.wait_for(asyncio.to_thread(process.stderr.readline), 15)
            process.terminate()
            await over(process, 5)
        finally:
            process.kill()
        assert process.returncode == 0

    asyncio.run(main())


def test_a_refused_key_is_one_sentence(tmp_path: Path, relay: Relay) -> None:
    from tests.listener.test_client import response  # noqa: PLC0415

    async def main() -> None:
        async with relay.serve(Session.welcome, refuse=lambda _: response(401)):
            process = start(tmp_path, PORT=str(relay.port))
            said = await over(process)
        assert process.returncode == 1
        assert "MACHINE_KEY" in said
        assert MACHINE_KEY not in said
        assert len(said.strip().splitlines()) == 1, said

    asyncio.run(main())


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"MACHINE_KEY": ""}, "MACHINE_KEY"), ({"MACHINE_KEY": "fake"}, "16"),
        ({"RELAY_SERVER_URL": "http://x.example"}, "https"),
        ({"RELAY_SERVER_URL": "https://x.example:port"}, "RELAY_SERVER_URL"),
        ({"SQLITE_PATH": "nowhere/x.db"}, "nowhere"),
        ({"QUEUE_URL": "nowhere/x.db"}, "nowhere"), ({"QUEUE_URL": "redis://x"}, "QUEUE_URL"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_one_sentence(
    tmp_path: Path, settings: dict[str, str], word: str
) -> None:
    process = start(tmp_path, **settings)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert word in said
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 1, said


def test_an_env_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"MACHINE_KEY=\xff\xfe\n")
    process = start(tmp_path, MACHINE_KEY="")
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "Traceback" not in said
