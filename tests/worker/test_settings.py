"""What the machine's processes read from their environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from relay.mistakes import explain
from tests.chain import API_KEY, MACHINE_KEY
from worker.settings import ChainSettings, Settings


def _refused(kind: type[Settings] = Settings, **environment: str) -> str:
    with pytest.raises(ValidationError) as refused:
        kind.read(environment)
    return explain(refused.value)


def test_one_key_is_all_that_is_needed() -> None:
    settings = Settings.read({"MACHINE_KEY": MACHINE_KEY})
    assert settings.relay_address == "http://127.0.0.1:8000"
    assert (settings.sqlite_path, settings.queue_url, settings.workers) == (Path("tasks.db"), "queue.db", 4)
    assert settings.lock_path == Path("tasks.lock")
    assert Settings.read({"MACHINE_KEY": MACHINE_KEY, "PORT": "9"}).relay_address == "http://127.0.0.1:9"


def test_the_first_of_several_keys_is_ones_own() -> None:
    assert (
        Settings.read({"MACHINE_KEY": f"laptop={MACHINE_KEY},laptop=fake-older-key-00000"}).own_key
        == MACHINE_KEY
    )


@pytest.mark.parametrize("url", ["redis://localhost", "postgresql://x/y"])
def test_a_store_that_is_not_built_yet_is_one_clear_error(url: str) -> None:
    said = _refused(MACHINE_KEY=MACHINE_KEY, QUEUE_URL=url)
    assert "QUEUE_URL" in said
    assert "only a SQLite file" in said


def test_all_problems_are_told_at_once_and_no_key_is_shown() -> None:
    said = _refused(
        MACHINE_KEY="fake-short", WORKERS="0", RELAY_SERVER_URL="http://relay.example", QUEUE_URL="redis://x"
    )
    for name in ("MACHINE_KEY", "WORKERS", "RELAY_SERVER_URL", "QUEUE_URL"):
        assert name in said
    assert "fake-short" not in said
    assert "MACHINE_KEY is missing" in _refused()


def test_who_starts_the_chain_needs_the_api_key_too() -> None:
    assert "API_KEY is missing" in _refused(ChainSettings, MACHINE_KEY=MACHINE_KEY)
    settings = ChainSettings.read({"MACHINE_KEY": MACHINE_KEY, "API_KEY": f"phone={API_KEY}"})
    assert (settings.own_api_key, settings.relay_is_here, settings.viewer_address) == (
        API_KEY,
        True,
        "http://127.0.0.1:5001",
    )
    far = ChainSettings.read(
        {"MACHINE_KEY": MACHINE_KEY, "API_KEY": API_KEY, "RELAY_SERVER_URL": "https://relay.example/"}
    )
    assert (far.relay_address, far.relay_is_here) == ("https://relay.example", False)
    assert MACHINE_KEY not in repr(settings)
    assert API_KEY not in repr(settings)


def test_the_file_is_read_and_the_environment_overrules_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_environment: None
) -> None:
    (tmp_path / ".env").write_text(f"MACHINE_KEY={MACHINE_KEY}\nWORKERS=2\nSQLITE_PATH=\n")
    assert (Settings.read().workers, Settings.read().sqlite_path) == (2, Path("tasks.db"))
    monkeypatch.setenv("WORKERS", "3")
    assert Settings.read().workers == 3
