"""What the listener reads from its environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from listener.settings import Settings
from relay.mistakes import explain
from tests.chain import MACHINE_KEY


def _refused(**environment: str) -> str:
    with pytest.raises(ValidationError) as refused:
        Settings.read(environment)
    return explain(refused.value)


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({}, "ws://127.0.0.1:8000/ws"),
        ({"PORT": "9000"}, "ws://127.0.0.1:9000/ws"),
        ({"RELAY_SERVER_URL": "https://relay.example"}, "wss://relay.example/ws"),
        ({"RELAY_SERVER_URL": "https://relay.example/", "PORT": "9000"}, "wss://relay.example/ws"),
        ({"RELAY_SERVER_URL": "wss://relay.example/ws"}, "wss://relay.example/ws"),
        ({"RELAY_SERVER_URL": "https://example.org/relay"}, "wss://example.org/relay/ws"),
        ({"RELAY_SERVER_URL": ""}, "ws://127.0.0.1:8000/ws"),
    ],
)
def test_the_session_is_opened_where_the_relay_is(environment: dict[str, str], address: str) -> None:
    assert Settings.read({"MACHINE_KEY": MACHINE_KEY, **environment}).websocket_url == address


def test_all_problems_are_told_at_once_and_no_key_is_shown() -> None:
    said = _refused(
        MACHINE_KEY="fake-short", RELAY_SERVER_URL="http://relay.example", MACHINE_NAME="My Laptop"
    )
    for name in ("MACHINE_KEY", "RELAY_SERVER_URL", "MACHINE_NAME"):
        assert name in said
    assert "fake-short" not in said
    assert "MACHINE_KEY is missing" in _refused()


def test_the_first_key_is_shown_to_the_relay_without_its_name() -> None:
    settings = Settings.read({"MACHINE_KEY": f"laptop={MACHINE_KEY},laptop=fake-older-key-00000"})
    assert settings.own_key == MACHINE_KEY
    assert MACHINE_KEY not in repr(settings)


def test_the_file_is_read_and_the_environment_overrules_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_environment: None
) -> None:
    (tmp_path / ".env").write_text(f"MACHINE_KEY={MACHINE_KEY}\nMACHINE_NAME=tower\n")
    assert Settings.read().machine_name == "tower"
    monkeypatch.setenv("MACHINE_NAME", "desk")
    assert Settings.read().machine_name == "desk"
