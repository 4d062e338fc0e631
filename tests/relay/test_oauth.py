"""OAuth for one owner: an app is let in by the owner's key, and by nothing else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.auth.oauth2 import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)

from relay import apps, signins
from relay.tokens import digest
from tests.chain import API_KEY, MACHINE_KEY, wait_until
from tests.relay.assistants import ERAS, GARDEN, assistant, obedient, run
from tests.relay.conftest import Clocks, Served, serve
from tests.relay.signing_in import CLAUDE, App, challenge, query

SECOND_API_KEY = "fake-second-api-key-for-tests-00"
LOOPBACK = "http://127.0.0.1:33418/callback"


@pytest.fixture
def app(shared: Served) -> Iterator[App]:
    app = App(shared)
    assert app.register().status_code == 201
    yield app
    app.http.close()


class Storage:
    """What an app keeps between two starts."""

    tokens: OAuthToken | None = None
    info: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.info

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.info = client_info


@pytest.mark.parametrize("era", ERAS)
def test_the_official_client_signs_in_and_calls_tools(relay: Served, era: str) -> None:
    browser, came_back, storage = App(relay), list[str](), Storage()

    async def open_browser(url: str) -> None:
        to = browser.http.get(url).headers["location"]
        came_back.append(browser.answer(query(to)["txn"]).headers["location"])

    async def come_back() -> AuthorizationCodeResult:
        return AuthorizationCodeResult.model_validate(query(came_back[-1]))

    asked = OAuthClientMetadata.model_validate({"redirect_uris": [LOOPBACK], "client_name": "Claude Code"})

    async def main() -> None:
        who = OAuthClientProvider(f"{relay.address}/mcp", asked, storage, open_browser, come_back)
        async with (
            httpx2.AsyncClient(auth=who, timeout=30, trust_env=False) as http,
            Client(streamable_http_client(f"{relay.address}/mcp", http_client=http), mode=era) as client,
        ):
            assert (await client.list_tools()).tools
            result = await client.call_tool("repo_status", {"project": "garden"})
            assert result.structured_content["status"] == "completed"  # type: ignore[union-attr,index]

    with obedient(relay, GARDEN) as asked_for:
        run(main())
    assert {frame["caller"] for frame in asked_for} == {"claude-code"}
    assert len(came_back) == 1
    browser.http.close()


@pytest.mark.parametrize("era", ERAS)
def test_a_token_is_as_good_as_a_key_everywhere_and_has_a_name(relay: Served, era: str) -> None:
    app = App(
        relay, redirect="https://chatgpt.com/connector/oauth/abc", name="phone", method="client_secret_post"
    )
    token = app.sign_in()["access_token"]

    async def main() -> None:
        async with assistant(relay, era, token) as client:
            await client.call_tool("run_git", {"command": ["status"]})

    run(main())
    command = {"type": "task_command", "data": {"action_type": "git"}}
    for headers in ({"Authorization": f"Bearer {token}"}, {"X-API-Key": token}):
        assert app.http.post("/webhook", json=command, headers=headers).status_code == 202
    assert relay.rows("SELECT DISTINCT caller FROM tasks") == [("chatgpt",)]
    as_machine = app.http.put("/tasks/x", json={}, headers={"X-API-Key": token})
    assert as_machine.status_code == 403, "it opens nothing that is for machines"
    app.http.close()


def test_an_app_without_a_token_is_led_to_the_documents(shared: Served) -> None:
    with App(shared).http as stranger:
        answer = stranger.post("/mcp", json={})
        assert answer.status_code == 401
        where = f"{shared.address}/.well-known/oauth-protected-resource/mcp"
        assert answer.headers["www-authenticate"] == f'Bearer resource_metadata="{where}", scope="tasks"'
        wrong = stranger.post("/mcp", json={}, headers={"X-API-Key": "fake-wrong-key-0000"})
        assert wrong.headers["www-authenticate"].startswith('Bearer error="invalid_token", resource_')
        resource = stranger.get(where).json()
        assert resource["resource"] == f"{shared.address}/mcp"
        assert resource["authorization_servers"] == [shared.address], "without a slash at the end"
        documents = [
            stranger.get(f"/.well-known/{name}").json()
            for name in ("oauth-authorization-server", "openid-configuration")
        ]
    assert documents[0] == documents[1]
    assert documents[0]["issuer"] == shared.address
    assert "none" in documents[0]["token_endpoint_auth_methods_supported"]
    assert documents[0]["authorization_response_iss_parameter_supported"] is True
    assert {"tasks", "offline_access"} <= set(documents[0]["scopes_supported"])
    assert "client_id_metadata_document_supported" not in documents[0]


@pytest.mark.parametrize(
    "scope", [None, "", "tasks", "offline_access tasks", "openid profile claudeai", "mcp:tools"]
)
def test_an_app_may_ask_for_any_scope_and_gets_the_one_there_is(shared: Served, scope: str | None) -> None:
    app = App(shared)
    assert app.register(**({} if scope is None else {"scope": scope})).status_code == 201
    granted = app.token(code=app.code(scope=scope)).json()
    assert granted["scope"] == "tasks offline_access"
    assert granted["token_type"] == "Bearer"
    app.http.close()


def test_an_app_that_asks_for_basic_is_told_to_send_its_secret_in_the_form(shared: Served) -> None:
    app = App(shared, method="client_secret_basic")
    told = app.register().json()
    assert told["token_endpoint_auth_method"] == "client_secret_post"
    assert told["client_secret"]
    refused = app.token(code=app.code(), client_secret="wrong")
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert app.asks(app.sign_in()["access_token"]) == 200
    app.http.close()


@pytest.mark.parametrize(
    "uri",
    [
        "https://evil.example/callback", "https://claude.ai.evil.example/api/mcp/auth_callback",
        "https://claude.ai/elsewhere", "http://claude.ai/api/mcp/auth_callback",
        "https://claude.ai:8443/api/mcp/auth_callback", "https://claude.ai@evil.example/api/mcp/auth_callback",
        "https://user@claude.ai/api/mcp/auth_callback", "https://chatgpt.com/connector/oauth/../../evil",
        "https://chatgpt.com/connector/oauthevil", "https://claude.ai/api/mcp/auth_callback#x",
        "http://192.168.1.2/callback", "http://127.0.0.1.evil.example/", "myapp://callback",
        "javascript:alert(1)", "https://localhost/callback",
    ],
)  # fmt: skip
def test_a_callback_that_nobody_knows_is_refused(shared: Served, uri: str) -> None:
    app = App(shared, redirect=uri)
    answer = app.register(redirect_uris=[CLAUDE, uri])
    assert (answer.status_code, answer.json()["error"]) in {
        (400, "invalid_redirect_uri"),
        (400, "invalid_client_metadata"),
    }
    app.http.close()


@pytest.mark.parametrize(
    ("uri", "name", "caller"),
    [
        (CLAUDE, "whatever it says", "claude"),
        ("https://claude.com/api/mcp/auth_callback", None, "claude"),
        ("https://chatgpt.com/connector_platform_oauth_redirect", "ChatGPT", "chatgpt"),
        ("https://oauth-redirect.googleusercontent.com/r/some-project", "Google", "gemini"),
        (LOOPBACK, "Claude Code (laptop)", "claude-code-laptop"),
        # The names of keys and of vendors cannot be taken by calling oneself so.
        ("http://[::1]:1/x", "Claude", "claude-app"),
        ("http://localhost:1/x", "phone", "phone-app"),
        ("http://localhost:1/x", "GitHub", "github-app"),
        ("http://localhost:1/x", "日本", "app"),
    ],
)
def test_how_an_app_is_called_from_then_on(shared: Served, uri: str, name: str | None, caller: str) -> None:
    app = App(shared, redirect=uri)
    assert app.register(client_name=name).status_code == 201
    page = app.http.get("/consent", params={"txn": app.number()})
    assert f"<b>{caller}</b>" in page.text
    app.http.close()


def test_a_program_on_the_users_machine_may_come_back_on_another_port(shared: Served) -> None:
    app = App(shared, redirect=LOOPBACK)
    app.register()
    assert app.authorize(redirect_uri=LOOPBACK.replace("33418", "50000")).status_code == 302
    for other in (LOOPBACK + "/x", "http://localhost:33418/callback", CLAUDE):
        assert app.authorize(redirect_uri=other).status_code == 400
    app.http.close()


def test_the_page_shows_who_asks_and_where_the_answer_goes_and_runs_nothing(shared: Served) -> None:
    app = App(shared, name='<script>alert(1)</script>"\u202eedualC')
    app.register()
    answer = app.http.get("/consent", params={"txn": app.number()})
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&quot;edualC" in answer.text
    assert "<script" not in answer.text
    assert "<b>claude.ai</b>" in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    # Browsers hold the redirect after the form against it as well.
    assert "form-action 'self' https://claude.ai;" in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    app.http.close()


def test_wrong_keys_are_counted_and_end_the_sign_in(app: App) -> None:
    number = app.number()
    answers = [app.answer(number, key="fake-wrong-key-0000") for _ in range(signins.MAX_TRIES)]
    assert {answer.status_code for answer in answers} == {403}
    assert "You can try 4 more times" in answers[0].text
    assert "This sign-in is over" in answers[-1].text
    assert app.answer(number).status_code == 404, "also the right key comes too late"


def test_wrong_keys_from_one_address_are_counted_over_all_sign_ins(tmp_path: Path) -> None:
    with serve(tmp_path, failures=8) as relay:
        app = App(relay)
        app.register()
        numbers = [app.number() for _ in range(4)]
        statuses = [app.answer(one, key="wrong").status_code for one in numbers for _ in range(3)]
        assert 429 in statuses
        app.http.close()


def test_only_the_owners_key_lets_in(tmp_path: Path) -> None:
    with serve(tmp_path, API_KEY=f"phone={API_KEY},ci={SECOND_API_KEY}") as relay:
        app = App(relay)
        app.register()
        number = app.number()
        for key in (SECOND_API_KEY, MACHINE_KEY, "", app.client["client_id"]):
            assert app.answer(number, key=key).status_code == 403
        assert app.answer(number, key=f" {API_KEY} ").status_code == 303
        app.http.close()


def test_the_owner_may_say_no(app: App) -> None:
    back = query(app.answer(app.number(), no="no").headers["location"])
    assert (back["error"], back["state"]) == ("access_denied", "of-the-app")
    assert back["iss"] == app.relay.address


def test_two_apps_with_the_same_state_do_not_get_in_each_others_way(app: App) -> None:
    other = App(app.relay, redirect=LOOPBACK, name="Codex")
    other.register()
    first, second = app.number(), other.number()
    assert app.answer(first).headers["location"].startswith(CLAUDE)
    assert other.answer(second).headers["location"].startswith(LOOPBACK)
    other.http.close()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "a" * 42}, "invalid_request"),
        ({"code_challenge": "a" * 129}, "invalid_request"),
        ({"code_challenge": "a" * 42 + "="}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"resource": "https://other.example/mcp"}, "invalid_target"),
    ],
)
def test_what_is_asked_wrongly_goes_back_to_the_app(app: App, change: dict[str, Any], error: str) -> None:
    answer = app.authorize(**change)
    assert answer.headers["location"].startswith(CLAUDE)
    assert query(answer.headers["location"])["error"] == error


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "00000000-0000-0000-0000-000000000000"},
        {"client_id": "https://claude.ai/oauth/client.json"},
        {"redirect_uri": "https://evil.example/"},
    ],
)
def test_whoever_is_not_known_is_sent_nowhere(app: App, change: dict[str, Any]) -> None:
    answer = app.authorize(**change)
    assert answer.status_code == 400
    assert "location" not in answer.headers


def test_a_code_is_good_once_for_its_app_and_its_verifier(app: App) -> None:
    other = App(app.relay)
    other.register()
    assert other.token(code=app.code()).json()["error"] == "invalid_grant"
    assert app.token(code=app.code(), code_verifier="x" * 50).json()["error"] == "invalid_grant"
    assert app.token(code=app.code(), redirect_uri=LOOPBACK).status_code == 400
    code = app.code()
    assert app.token(code=code).status_code == 200
    assert app.token(code=code).json()["error"] == "invalid_grant"
    assert app.token(code="made-up").json()["error"] == "invalid_grant"
    assert app.token(code=app.code(code_challenge=challenge("y" * 50))).status_code == 400
    other.http.close()


def test_a_code_that_comes_again_ends_what_came_of_it(app: App) -> None:
    code = app.code()
    tokens = app.token(code=code).json()
    assert app.asks(tokens["access_token"]) == 200
    assert app.token(code=code).json()["error"] == "invalid_grant"
    assert app.asks(tokens["access_token"]) == 401
    assert app.refresh(tokens["refresh_token"]).status_code == 400


def test_an_app_that_is_not_known_any_more_is_told_to_register_again(app: App) -> None:
    code = app.code()
    app.client["client_id"] = "00000000-0000-0000-0000-000000000000"
    refused = app.token(code=code)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


def test_tokens_and_keys_are_nowhere_on_disk_and_in_no_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG"), serve(tmp_path) as relay:
        app = App(relay)
        tokens = app.sign_in()
        assert app.asks(tokens["access_token"]) == 200
        secrets = [tokens["access_token"], tokens["refresh_token"], API_KEY, "of-the-app"]
        app.http.close()
    # What the test's own HTTP client says about its requests is not the relay's.
    logged = "".join(one.getMessage() for one in caplog.records if not one.name.startswith("http"))
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("relay.db*"))
    for secret in secrets:
        assert secret not in logged
        assert secret.encode() not in stored


def test_what_was_let_in_stays_in_when_the_relay_is_started_again(tmp_path: Path) -> None:
    with serve(tmp_path) as relay:
        app = App(relay)
        tokens = app.sign_in()
    with serve(tmp_path) as relay:
        again = App(relay, client=app.client)
        assert again.asks(tokens["access_token"]) == 200
        assert again.refresh(tokens["refresh_token"]).status_code == 200
        again.http.close()
    app.http.close()


def test_a_token_ends_in_time_and_is_renewed(tmp_path: Path) -> None:
    clocks = Clocks()
    with serve(tmp_path, clocks=clocks) as relay:
        app = App(relay)
        first = app.sign_in()
        clocks.pass_by(first["expires_in"] - 1)
        assert app.asks(first["access_token"]) == 200
        clocks.pass_by(2)
        assert app.asks(first["access_token"]) == 401
        second = app.refresh(first["refresh_token"]).json()
        assert app.asks(second["access_token"]) == 200
        assert second["refresh_token"] != first["refresh_token"]
        clocks.pass_by(91 * 86_400)
        assert app.refresh(second["refresh_token"]).json()["error"] == "invalid_grant"
        app.http.close()


def test_a_refresh_token_that_comes_again_later_ends_the_whole_sign_in(tmp_path: Path) -> None:
    clocks = Clocks()
    with serve(tmp_path, clocks=clocks) as relay:
        app, bystander = App(relay), App(relay)
        first, other = app.sign_in(), bystander.sign_in()
        second = app.refresh(first["refresh_token"]).json()
        # The answer may have been lost on the way: at once it may come again.
        assert app.refresh(first["refresh_token"]).status_code == 200
        clocks.pass_by(60)
        assert app.refresh(first["refresh_token"]).json()["error"] == "invalid_grant"
        assert app.asks(second["access_token"]) == 401
        assert app.refresh(second["refresh_token"]).json()["error"] == "invalid_grant"
        assert bystander.asks(other["access_token"]) == 200
        for one in (app, bystander):
            one.http.close()


def test_a_refresh_token_opens_nothing_and_belongs_to_its_app(app: App) -> None:
    tokens = app.sign_in()
    assert app.asks(tokens["refresh_token"]) == 401
    other = App(app.relay)
    other.register()
    assert other.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert app.refresh(tokens["access_token"]).json()["error"] == "invalid_grant"
    other.http.close()


def test_a_renewed_token_keeps_the_name_of_its_own_sign_in(relay: Served) -> None:
    app = App(relay, redirect=LOOPBACK, name="Notes")
    app.register(redirect_uris=[LOOPBACK, CLAUDE])
    at_home = app.sign_in()
    app.redirect = CLAUDE
    app.sign_in()
    renewed = app.refresh(at_home["refresh_token"]).json()
    names = relay.rows(f"SELECT caller FROM tokens WHERE digest = '{digest(renewed['access_token'])}'")
    assert names == [("notes",)]
    app.http.close()


@pytest.mark.parametrize("method", ["none", "client_secret_post"])
@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
def test_an_app_that_signs_out_is_out_at_once(shared: Served, method: str, which: str) -> None:
    app = App(shared, method=method)
    tokens = app.sign_in()
    who = {"client_id": app.client["client_id"], "client_secret": app.client.get("client_secret") or ""}
    stranger = App(shared)
    stranger.register()
    asked = {"token": tokens[which]}
    assert (
        stranger.http.post("/revoke", data={**asked, "client_id": stranger.client["client_id"]}).status_code
        == 200
    )
    assert app.asks(tokens["access_token"]) == 200, "another app's word does not count"
    assert app.http.post("/revoke", data={**who, **asked}).status_code == 200
    assert app.asks(tokens["access_token"]) == 401
    assert app.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"
    assert app.http.post("/revoke", data=who).status_code == 400
    assert app.http.post("/revoke", data=asked).status_code == 401
    for one in (app, stranger):
        one.http.close()


def test_the_owner_sees_who_was_let_in_and_shuts_them_out(tmp_path: Path) -> None:
    with serve(tmp_path, API_KEY=f"phone={API_KEY},ci={SECOND_API_KEY}") as relay:
        app = App(relay)
        tokens = app.sign_in()
        (shown,) = relay.http.get("/apps").json()["apps"]
        assert (shown["caller"], shown["app"]) == ("claude", "Claude")
        for key in (SECOND_API_KEY, tokens["access_token"]):
            assert relay.http.delete("/apps/claude", headers={"X-API-Key": key}).status_code == 403
        assert relay.http.delete("/apps/claude").status_code == 204
        assert app.asks(tokens["access_token"]) == 401
        assert app.refresh(tokens["refresh_token"]).status_code == 400
        assert relay.http.get("/apps").json() == {"apps": []}
        assert relay.http.delete("/apps/claude").status_code == 404
        app.http.close()


def test_who_is_shut_out_gets_nothing_for_a_code_either(app: App) -> None:
    code = app.code()
    assert app.relay.http.delete("/apps/claude").status_code == 204
    assert app.token(code=code).json()["error"] == "invalid_grant"
    assert app.relay.http.delete("/apps/claude").status_code == 404
    assert app.asks(app.sign_in()["access_token"]) == 200, "the owner may let it in again"


def test_who_is_shut_out_at_the_moment_in_which_it_gets_its_tokens_stays_out(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, end_caller = apps.let_in, signins.SignIns.end_caller
    is_asked = threading.Event()

    def let_in(*facts: Any) -> None:
        # On the writer's thread: the order to shut it out comes, and waits for this.
        app.relay.later(lambda: app.relay.http.delete("/apps/claude"))
        assert is_asked.wait(10)
        really(*facts)

    def ended(self: signins.SignIns, caller: str) -> bool:
        is_asked.set()
        return end_caller(self, caller)

    monkeypatch.setattr(signins.SignIns, "end_caller", ended)
    monkeypatch.setattr(apps, "let_in", let_in)
    assert app.token(code=app.code()).json()["error"] == "invalid_grant"
    assert app.relay.rows("SELECT * FROM tokens") == []


def test_who_is_shut_out_stays_out_also_while_it_renews_its_tokens(relay: Served) -> None:
    app = App(relay)
    first = app.sign_in()
    got = []
    is_over = threading.Event()

    def hammer() -> None:
        while not is_over.is_set():
            if (answer := app.refresh(first["refresh_token"])).status_code == 200:
                got.append(answer.json()["access_token"])

    with ThreadPoolExecutor() as pool:
        hammering = [pool.submit(hammer) for _ in range(4)]
        wait_until(lambda: len(got) > 20, "it renews its tokens")
        assert relay.http.delete("/apps/claude").status_code == 204
        wait_until(lambda: app.refresh(first["refresh_token"]).status_code != 200, "it is out")
        is_over.set()
        for one in hammering:
            one.result(20)
    assert relay.rows("SELECT * FROM tokens") == []
    assert {app.asks(token) for token in (first["access_token"], *got[-20:])} == {401}
    app.http.close()


def test_apps_that_nobody_lets_in_do_not_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apps, "MAX_STRANGERS", 3)
    clocks = Clocks()
    with serve(tmp_path, clocks=clocks) as relay:
        inside = App(relay)
        inside.sign_in()
        strangers = [App(relay) for _ in range(5)]
        for one in strangers:
            one.register()
            clocks.pass_by(apps.YOUNG_S / 2)
        assert relay.rows("SELECT count(*) FROM apps") == [(4,)]
        assert [one.authorize().status_code for one in strangers] == [400, 400, 302, 302, 302]
        for one in (inside, *strangers):
            one.http.close()


def test_strangers_push_no_app_out_whose_owner_may_be_looking_for_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apps, "MAX_STRANGERS", 3)
    clocks = Clocks()
    with serve(tmp_path, clocks=clocks) as relay:
        own, stranger = App(relay), App(relay)
        own.register()
        clocks.pass_by(60)
        answers = [stranger.register() for _ in range(3)]
        assert [one.status_code for one in answers] == [201, 201, 429]
        assert (answers[-1].json()["code"], answers[-1].headers["retry-after"]) == ("too_many", "840")
        assert own.authorize().status_code == 302
        clocks.pass_by(840)
        assert stranger.register().status_code == 201
        for one in (own, stranger):
            one.http.close()


def test_sign_ins_that_nobody_answers_make_room_with_those_of_their_own_app(
    shared: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signins, "MAX_PENDING", 3)
    own, stranger = App(shared), App(shared)
    for one in (own, stranger):
        one.register()
    number = own.number()
    numbers = [stranger.number() for _ in range(5)]
    assert [stranger.answer(one).status_code for one in numbers] == [404, 404, 404, 303, 303]
    assert own.answer(number).status_code == 303
    for one in (own, stranger):
        one.http.close()


def test_strangers_may_begin_only_so_many_sign_ins(tmp_path: Path) -> None:
    with serve(tmp_path, failures=5) as relay:
        app = App(relay)
        answers = [app.register() for _ in range(6)]
        assert [answer.status_code for answer in answers] == [201] * 5 + [429]
        assert int(answers[-1].headers["retry-after"]) >= 1
        app.http.close()


def test_strangers_who_knock_too_often_do_not_keep_the_owner_from_answering(tmp_path: Path) -> None:
    with serve(tmp_path, failures=5) as relay:
        app = App(relay)
        app.register()
        number = app.number()
        while app.register().status_code != 429:
            pass
        assert app.answer(number).status_code == 303
        assert [app.authorize().status_code for _ in range(7)] == [302] * 7
        unknown = "00000000-0000-0000-0000-000000000000"
        assert {app.authorize(client_id=unknown).status_code for _ in range(7)} == {429}
        app.http.close()


def test_a_stranger_may_leave_little_behind(app: App) -> None:
    asked = {
        "client_id": app.client["client_id"], "redirect_uri": app.redirect, "response_type": "code",
        "code_challenge": challenge(), "code_challenge_method": "S256",
    }  # fmt: skip
    kept = app.http.post("/authorize", data={**asked, "state": "s" * 1_000})
    refused = app.http.post("/authorize", data={**asked, "state": "s" * 65_536})
    assert (kept.status_code, refused.status_code) == (302, 413)
    assert "64 KiB" in refused.json()["detail"]


def test_a_stranger_may_send_little_in_the_place_of_the_owners_answer(app: App) -> None:
    refused = app.http.post("/consent", data={"txn": app.number(), "key": "k" * 65_536})
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
    assert "64 KiB" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/register", b"{"), ("/register", b"[]"), ("/register", b""), ("/register", b"\xff"),
        ("/register", json.dumps({"redirect_uris": [CLAUDE], "client_name": "x" * 20_000}).encode()),
        ("/register", json.dumps({"redirect_uris": []}).encode()), ("/register", b'{"redirect_uris": [1]}'),
        ("/token", b""), ("/token", b"client_id=%00"), ("/token", b"grant_type=password&client_id=x"),
        ("/authorize", b""), ("/authorize", b"client_id=a&client_id=b"), ("/revoke", b""),
        ("/consent", b"\xff=%ff"), ("/consent", b"a=b&" * 1_000), ("/consent", b""),
        ("/register", b" " * 1_048_577),
    ],
)  # fmt: skip
def test_nonsense_is_the_callers_mistake(shared: Served, path: str, body: bytes) -> None:
    form = "application/json" if path == "/register" else "application/x-www-form-urlencoded"
    with App(shared).http as stranger:
        answer = stranger.post(path, content=body, headers={"Content-Type": form})
    assert 400 <= answer.status_code < 500, answer.text
    assert "Traceback" not in answer.text
