"""What the relay reads from its environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from relay.mistakes import explain
from relay.settings import Settings
from tests.chain import API_KEY, MACHINE_KEY

GOOD = {"API_KEY": API_KEY, "MACHINE_KEY": MACHINE_KEY}


def _refused(**environment: str) -> str:
    with pytest.raises(ValidationError) as refused:
        Settings.read(environment)
    return explain(refused.value)


def test_two_keys_are_all_that_is_needed() -> None:
    settings = Settings.read(GOOD)
    assert settings.callers() == {API_KEY: "default"}
    assert settings.machines() == {MACHINE_KEY: "laptop"}
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)


def test_a_key_has_no_default() -> None:
    said = _refused()
    assert "API_KEY is missing" in said
    assert "MACHINE_KEY is missing" in said


def test_all_problems_are_told_at_once() -> None:
    said = _refused(
        API_KEY="short",
        MACHINE_KEY="also-short",
        PORT="http",
        MACHINE_NAME="My Laptop",
        STORAGE_BACKEND="postgres",
    )
    for name in ("API_KEY", "MACHINE_KEY", "PORT", "MACHINE_NAME", "STORAGE_BACKEND"):
        assert name in said
    assert "'http'" in said


@pytest.mark.parametrize(
    "environment",
    [
        {"API_KEY": "fake-short-key"},
        {"API_KEY": f"{API_KEY},{API_KEY}"},
        {"MACHINE_KEY": "fake-schlüssel-0000"},
        {"API_KEY": f"phone={MACHINE_KEY}"},
        {"API_KEY": API_KEY, "PORT": "no"},
    ],
)
def test_no_message_shows_a_key(environment: dict[str, str]) -> None:
    said = _refused(**{**GOOD, **environment})
    for key in {API_KEY, MACHINE_KEY, *environment.values()} - {"no"}:
        assert key.rpartition("=")[2] not in said


def test_the_object_itself_shows_no_key() -> None:
    settings = Settings.read({**GOOD, "GITHUB_WEBHOOK_SECRET": "fake-github-secret"})
    for shown in (repr(settings), str(settings), str(settings.model_dump())):
        assert API_KEY not in shown
        assert MACHINE_KEY not in shown
        assert "fake-github-secret" not in shown


def test_a_caller_must_not_share_its_key_with_a_machine() -> None:
    assert "share a key" in _refused(API_KEY=f"phone={API_KEY}", MACHINE_KEY=f"laptop={API_KEY}")


def test_an_empty_value_counts_as_not_set() -> None:
    settings = Settings.read({**GOOD, "PORT": "", "GITHUB_WEBHOOK_SECRET": "", "MACHINE_NAME": ""})
    assert (settings.port, settings.github_webhook_secret, settings.machine_name) == (8000, None, "laptop")
    assert "API_KEY is missing" in _refused(MACHINE_KEY=MACHINE_KEY, API_KEY="")


def test_a_machine_key_without_a_name_belongs_to_machine_name() -> None:
    assert Settings.read({**GOOD, "MACHINE_NAME": "tower"}).machines() == {MACHINE_KEY: "tower"}


def test_the_environment_overrules_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_environment: None
) -> None:
    (tmp_path / ".env").write_text(
        f"API_KEY={API_KEY}\nMACHINE_KEY={MACHINE_KEY}\nPORT=1\n# comment\nNOTHING\n"
    )
    assert Settings.read().port == 1
    monkeypatch.setenv("PORT", "2")
    assert Settings.read().port == 2


def test_a_webhook_secret_may_have_a_name() -> None:
    secret, other = "whsec_ZmFrZS1zZWNyZXQtMDAwMA==", "ZmFrZS1zZWNyZXQtMTExMTEx"
    assert Settings.read(GOOD).signers() == {}
    settings = Settings.read({**GOOD, "WEBHOOK_SECRET": f"zapier={secret},{other}"})
    assert settings.signers() == {secret: "zapier", other: "webhook"}


@pytest.mark.parametrize(
    "wrong", ["short", "whsec_==============", "whsec_%%%%%%%%%%%%%", "whsec_" + "a" * 17]
)
def test_a_webhook_secret_that_is_none_is_refused_in_one_sentence(wrong: str) -> None:
    said = _refused(**GOOD, WEBHOOK_SECRET=wrong)
    assert "WEBHOOK_SECRET: a Standard Webhooks secret looks like whsec_ and then base64" in said
    assert wrong not in said


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("RATE_LIMIT_PER_MINUTE", "-1"), ("RATE_LIMIT_PER_MINUTE", "many"), ("RELAY_RETENTION_DAYS", "0")],
)
def test_a_limit_that_is_none_is_refused(name: str, wrong: str) -> None:
    assert name in _refused(**GOOD, **{name: wrong})


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValidationError):
        Settings.read(GOOD).port = 1
