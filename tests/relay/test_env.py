"""What `.env` says on both sides: keys and the relay's address."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from relay.env import Environment, RelayAddress, parse_keys
from relay.mistakes import explain

ADDRESS: TypeAdapter[str] = TypeAdapter(RelayAddress)
KEY, OTHER = "fake-key-0123456789", "fake-key-9876543210"


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (KEY, {KEY: "nobody"}),
        (f"phone={KEY}", {KEY: "phone"}),
        (f"phone={KEY},claude={OTHER}", {KEY: "phone", OTHER: "claude"}),
        (f" phone={KEY} , {OTHER} ,", {KEY: "phone", OTHER: "nobody"}),
        (f"phone={KEY},phone={OTHER}", {KEY: "phone", OTHER: "phone"}),
        # Base64 ends with =, and what is before it is no name then.
        ("ZmFrZSBrZXkgZm9yIHRlc3Rz==", {"ZmFrZSBrZXkgZm9yIHRlc3Rz==": "nobody"}),
        ("phone=ZmFrZSBrZXkgZm9yIHRlc3Rz==", {"ZmFrZSBrZXkgZm9yIHRlc3Rz==": "phone"}),
    ],
)
def test_keys_may_have_names(text: str, keys: dict[str, str]) -> None:
    assert parse_keys(text, "nobody") == keys


@pytest.mark.parametrize(
    "text",
    [
        "", ",", " ", "short", "phone=short", f"{KEY},{KEY}", f"a={KEY},b={KEY}", "schlüssel-schlüssel-1",
        f"phone = {KEY}", "fake key with spaces", f"phone\n={KEY}", f"{KEY}\x07",
    ],
)  # fmt: skip
def test_odd_keys_are_refused_without_showing_them(text: str) -> None:
    with pytest.raises(ValueError, match="key") as refused:
        parse_keys(text, "nobody")
    for part in filter(lambda part: len(part) > 4, text.replace(",", "=").split("=")):
        assert part.strip() not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://relay.example", "https://relay.example"),
        ("https://relay.example/", "https://relay.example"),
        ("wss://relay.example/ws", "https://relay.example"),
        ("https://example.org/relay/", "https://example.org/relay"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("ws://localhost:8000/ws", "http://localhost:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://relay.example/?key=1#x", "https://relay.example"),
    ],
)
def test_the_relays_address_may_be_written_in_many_ways(text: str, address: str) -> None:
    assert ADDRESS.validate_python(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "relay.example", "ftp://relay.example", "https://", "http://relay.example", "ws://10.0.0.1:8000",
        "http://127.0.0.1.evil.example", "http://[::1", "https://relay.example:port", "https://relay.example:99999",
    ],
)  # fmt: skip
def test_an_address_that_is_none_or_would_show_the_key_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        ADDRESS.validate_python(text)


def test_a_store_that_is_not_built_yet_is_one_clear_error_without_its_password() -> None:
    named = {"STORAGE_BACKEND": "postgres", "DATABASE_URL": "postgresql://me:fake-password@host/db"}
    with pytest.raises(ValidationError) as refused:
        Environment.read(named)
    said = explain(refused.value)
    assert "STORAGE_BACKEND: only sqlite is supported so far, not 'postgres'" in said
    assert "DATABASE_URL: no database server is supported so far; leave it empty" in said
    assert "fake-password" not in said
    assert Environment.read({"DATABASE_URL": ""}).database_url is None
