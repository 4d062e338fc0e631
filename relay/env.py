"""What relay and machine both read in `.env`: keys, and where the relay is. No I/O."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator

from relay.names import NAME

MIN_KEY_CHARS = 16


def parse_keys(text: str, unnamed: str) -> dict[str, str]:
    """Key → name, from `name=key,name=key`; a key without a name belongs to *unnamed*.

    Raises ValueError for short, repeated or odd keys, without ever showing one."""
    keys: dict[str, str] = {}
    for number, entry in enumerate(filter(None, map(str.strip, text.split(","))), start=1):
        name, found, key = entry.partition("=")
        if not (found and key.strip("=") and re.fullmatch(NAME, name)):
            name, key = unnamed, entry
        if len(key) < MIN_KEY_CHARS:
            raise ValueError(f"key {number} has {len(key)} characters; use {MIN_KEY_CHARS} or more")
        if not re.fullmatch(r"[\x21-\x7e]+", key) or key in keys:
            raise ValueError(f"key {number} is given twice, or holds spaces or characters that are not ASCII")
        keys[key] = name
    if not keys:
        raise ValueError("no key is given")
    return keys


def _relay_address(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in {"http", "https", "ws", "wss"} or not url.hostname or url.port == 0:
        raise ValueError("an address like https://relay.example is needed")
    secure = url.scheme in {"https", "wss"}
    if not secure and url.hostname not in {"127.0.0.1", "localhost", "::1"}:
        raise ValueError("a relay on another host needs https, or the key would travel in the open")
    path = url.path.removesuffix("/ws").rstrip("/")
    return urlunsplit(("https" if secure else "http", url.netloc, path, "", ""))


RelayAddress = Annotated[str, AfterValidator(_relay_address)]
"""Where the relay is: http(s) without a trailing slash, whatever of http, ws and `/ws` was written."""


def _public_address(text: str) -> str:
    address = _relay_address(text)
    if urlsplit(address).path:
        raise ValueError("the address must end after the host, like https://relay.example")
    return address


PublicAddress = Annotated[str, AfterValidator(_public_address)]
"""Where the world reaches the relay: as RelayAddress, and with nothing after the host."""
