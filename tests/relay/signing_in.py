"""An app that signs in step by step, and the owner who answers in a browser."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.chain import API_KEY
from tests.relay.conftest import Served

CLAUDE = "https://claude.ai/api/mcp/auth_callback"
VERIFIER = "a-verifier-of-enough-characters-to-be-one-0000000"


def challenge(verifier: str = VERIFIER) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def query(url: str) -> dict[str, str]:
    """The parameters of an address, each once."""
    found = parse_qs(urlsplit(url).query, keep_blank_values=True)
    assert all(len(values) == 1 for values in found.values()), url
    return {name: values[0] for name, values in found.items()}


@dataclass
class App:
    """An app somewhere else, which has no key."""

    relay: Served
    redirect: str = CLAUDE
    name: str = "Claude"
    method: str = "none"
    client: dict[str, Any] = field(default_factory=dict)
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.relay.address, trust_env=False, timeout=30)

    def register(self, **more: Any) -> httpx.Response:
        asked = {"redirect_uris": [self.redirect], "client_name": self.name}
        answer = self.http.post(
            "/register", json={**asked, "token_endpoint_auth_method": self.method, **more}
        )
        if answer.status_code == 201:
            self.client = answer.json()
        return answer

    def authorize(self, **more: Any) -> httpx.Response:
        """Ask; a good answer leads to the consent page."""
        asked = {
            "client_id": self.client["client_id"], "redirect_uri": self.redirect, "response_type": "code",
            "code_challenge": challenge(), "code_challenge_method": "S256", "state": "of-the-app", **more,
        }  # fmt: skip
        return self.http.get("/authorize", params={k: v for k, v in asked.items() if v is not None})

    def number(self, **more: Any) -> str:
        """The number of a sign-in that waits for the owner."""
        answer = self.authorize(**more)
        assert answer.status_code == 302, answer.text
        assert answer.headers["location"].startswith(f"{self.relay.address}/consent?")
        return query(answer.headers["location"])["txn"]

    def answer(self, number: str, key: str = API_KEY, **more: str) -> httpx.Response:
        """What the owner does in the browser: look at the page, and send its form."""
        page = self.http.get("/consent", params={"txn": number})
        if found := re.search(r'name="txn" value="([^"]*)"', page.text):
            number = found[1]
        return self.http.post("/consent", data={"txn": number, "key": key, **more})

    def code(self, **more: Any) -> str:
        answer = self.answer(self.number(**more))
        assert answer.status_code == 303, answer.text
        back = query(answer.headers["location"])
        assert (back["state"], back["iss"]) == ("of-the-app", self.relay.address)
        return back["code"]

    def token(self, **more: Any) -> httpx.Response:
        asked = {"client_id": self.client["client_id"], "client_secret": self.client.get("client_secret")}
        asked |= {
            "redirect_uri": self.redirect,
            "code_verifier": VERIFIER,
            "grant_type": "authorization_code",
        }
        return self.http.post("/token", data={k: v for k, v in {**asked, **more}.items() if v is not None})

    def refresh(self, token: str) -> httpx.Response:
        return self.token(grant_type="refresh_token", refresh_token=token)

    def sign_in(self) -> dict[str, Any]:
        """All of it. Gives the tokens."""
        if not self.client:
            assert self.register().status_code == 201
        return dict(self.token(code=self.code()).raise_for_status().json())

    def asks(self, token: str) -> int:
        """The status with which the relay answers somebody who shows *token*."""
        return self.http.get("/tasks", headers={"Authorization": f"Bearer {token}"}).status_code
