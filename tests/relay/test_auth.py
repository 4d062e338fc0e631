"""Who is let in, by which door."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from starlette.requests import HTTPConnection
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from relay.auth import FAILURES_PER_MINUTE, Doors, Keyring, presented_key
from relay.errors import Code, Problem
from relay.settings import Settings
from tests.chain import API_KEY, GITHUB_SECRET, MACHINE_KEY
from tests.relay.conftest import Served, serve

WRONG = "fake-key-that-nobody-knows-0000"
OTHER = "fake-key-of-another-caller-0000"


@pytest.fixture(scope="module")
def stranger(shared: Served) -> httpx.Client:
    """Somebody without a key."""
    with httpx.Client(base_url=shared.address, trust_env=False, timeout=30) as client:
        yield client


def signature(body: bytes, secret: str = GITHUB_SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": API_KEY},
        {"Authorization": f"Bearer {API_KEY}"},
        {"Authorization": f"bearer  {API_KEY}"},
        {"Authorization": "Basic eDp5", "X-API-Key": API_KEY},
    ],
)
def test_a_key_is_known_in_either_header(stranger: httpx.Client, headers: dict[str, str]) -> None:
    assert stranger.get("/tasks", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"X-API-Key": ""}, {"X-API-Key": WRONG}, {"X-API-Key": API_KEY[:-1]},
        {"X-API-Key": API_KEY + "x"},
        {"Authorization": "Bearer"}, {"Authorization": f"Basic {API_KEY}"}, {"Authorization": API_KEY},
        {"X-API-Key": f"phone={API_KEY}"},
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/webhook"), ("GET", "/tasks"), ("GET", "/tasks/x"), ("PUT", "/tasks/x")],
)
def test_without_a_known_key_there_is_no_way_in(
    stranger: httpx.Client, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = stranger.request(method, path, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unknown_key")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert WRONG not in answer.text


def test_a_key_that_is_not_ascii_is_just_a_wrong_key(stranger: httpx.Client) -> None:
    for raw in ("schlüssel-schlüssel".encode(), b"\xff\xfe\xfd" * 8):
        assert stranger.get("/tasks", headers=[(b"X-API-Key", raw)]).status_code == 401
        assert stranger.get("/tasks", headers=[(b"Authorization", b"Bearer " + raw)]).status_code == 401


def test_a_key_is_asked_for_before_the_body_is_read(stranger: httpx.Client) -> None:
    assert stranger.post("/webhook", content=b"{" * 100, headers={"X-API-Key": WRONG}).status_code == 401


def test_a_machine_cannot_post_and_not_read(stranger: httpx.Client) -> None:
    key = {"X-API-Key": MACHINE_KEY}
    for answer in (
        stranger.post("/webhook", json={"type": "note"}, headers=key),
        stranger.get("/tasks", headers=key),
        stranger.get("/tasks/x", headers=key),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "wrong_scope")


def test_a_caller_cannot_report_and_not_open_a_session(stranger: httpx.Client, shared: Served) -> None:
    report = {"task_id": "x", "rev": 1, "attempt": 1, "status": "completed"}
    assert stranger.put("/tasks/x", json=report, headers={"X-API-Key": API_KEY}).status_code == 403
    with pytest.raises(InvalidStatus) as refused, shared.machine(API_KEY):
        pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("key", [WRONG, API_KEY[:-1], " "])
def test_a_session_with_a_wrong_key_is_refused_before_it_begins(
    shared: Served, caplog: pytest.LogCaptureFixture, key: str
) -> None:
    with pytest.raises(InvalidStatus) as refused, shared.machine(key):
        pass
    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body)["code"] == "unknown_key"
    assert shared.http.get("/").status_code == 200
    assert caplog.records == [], "nothing went wrong here"


def test_health_needs_no_key_and_gives_no_names_away(stranger: httpx.Client) -> None:
    health = stranger.get("/").json()
    assert health.keys() == {"status", "service", "version", "connected_clients", "timestamp"}
    assert (health["status"], health["connected_clients"]) == ("running", 0)
    assert "laptop" not in json.dumps(health)
    assert "phone" not in json.dumps(health)


def test_github_is_known_by_its_signature_over_the_raw_body(stranger: httpx.Client, shared: Served) -> None:
    body = b'{"zen":  "spaces and \\u00fc stay as they are" }'
    headers = {"X-Hub-Signature-256": signature(body), "X-GitHub-Event": "ping", "X-GitHub-Delivery": "d-1"}
    answer = stranger.post("/webhook", content=body, headers=headers)
    assert (answer.status_code, answer.json()["event"]) == (202, "github.ping")
    assert answer.json()["delivery_id"] == "d-1"
    (caller,) = shared.rows("SELECT caller FROM deliveries WHERE delivery_id = 'd-1'")
    assert caller == ("github",)


@pytest.mark.parametrize(
    "wrong",
    [
        signature(b"{}", "fake-other-secret"), signature(b"{} "), signature(b"{}").removeprefix("sha256="),
        signature(b"{}").upper(), "sha256=", "", "sha1=" + "0" * 40, "sha256=\xfc",
    ],
)  # fmt: skip
def test_a_wrong_signature_is_refused(stranger: httpx.Client, wrong: str) -> None:
    answer = stranger.post(
        "/webhook", content=b"{}", headers=[(b"X-Hub-Signature-256", wrong.encode("latin-1"))]
    )
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_signature")
    assert signature(b"{}")[7:] not in answer.text


def test_without_a_secret_no_signature_is_believed(tmp_path: Path) -> None:
    with serve(tmp_path, GITHUB_WEBHOOK_SECRET="") as relay:
        for secret in ("", GITHUB_SECRET):
            headers = {"X-Hub-Signature-256": signature(b"{}", secret)}
            answer = httpx.post(f"{relay.address}/webhook", content=b"{}", headers=headers, trust_env=False)
            assert (answer.status_code, answer.json()["code"]) == (401, "bad_signature")
            assert "GITHUB_WEBHOOK_SECRET" in answer.json()["detail"]


def test_a_signed_body_never_becomes_a_command_whatever_it_says(shared: Served) -> None:
    body = json.dumps(
        {"type": "task_command", "data": {"task_id": "from-github", "action_type": "shell", "params": {}}}
    ).encode()
    for event in ("task_command", "push", ""):
        headers = {"X-Hub-Signature-256": signature(body), "X-GitHub-Event": event}
        with httpx.Client(trust_env=False) as github:
            answer = github.post(f"{shared.address}/webhook", content=body, headers=headers)
        assert answer.status_code in {202, 422}
        assert "task_id" not in answer.json()
    assert shared.http.get("/tasks/from-github").status_code == 404
    assert shared.rows("SELECT event FROM deliveries WHERE event = 'task_command'") == []


def test_every_one_of_several_keys_opens_and_the_name_is_kept(tmp_path: Path) -> None:
    with serve(tmp_path, API_KEY=f"phone={API_KEY},claude={WRONG}") as relay:
        relay.command(task_id="by-phone")
        relay.command(task_id="by-claude", headers={"X-API-Key": WRONG})
        assert relay.rows("SELECT task_id, caller FROM tasks ORDER BY 1") == [
            ("by-claude", "claude"), ("by-phone", "phone"),
        ]  # fmt: skip


def test_a_keyring_keeps_no_key() -> None:
    ring = Keyring({API_KEY: "phone"})
    assert (ring.find(API_KEY), ring.find(WRONG), ring.find("")) == ("phone", None, None)
    assert API_KEY not in str(vars(ring))


def test_the_bearer_token_goes_before_the_other_header() -> None:
    assert presented_key({"authorization": "Bearer one", "x-api-key": "two"}) == "one"
    assert presented_key({"authorization": "Digest one", "x-api-key": "two"}) == "two"
    assert presented_key({}) is None


def visitor(key: str, query: str = "", host: str = "192.0.2.1") -> HTTPConnection:
    """Somebody at the door, without a server."""
    headers = [(b"x-api-key", key.encode())]
    return HTTPConnection(
        {"type": "http", "headers": headers, "query_string": query.encode(), "client": (host, 1)}
    )


def doors(clock: Callable[[], float] = time.monotonic, **settings: str) -> Doors:
    own = {"API_KEY": f"phone={API_KEY},claude={OTHER}", "MACHINE_KEY": MACHINE_KEY}
    return Doors(Settings.read({**own, **settings}), clock)


def test_doors_say_which_setting_to_compare_and_never_the_key() -> None:
    with pytest.raises(Problem, match="MACHINE_KEY") as refused:
        doors().machine(visitor(WRONG))
    assert WRONG not in str(refused.value)


@pytest.mark.parametrize("name", ["key", "api_key", "apikey", "token", "access_token"])
def test_a_right_key_that_came_in_the_address_as_well_is_refused_with_a_reason(
    stranger: httpx.Client, name: str
) -> None:
    answer = stranger.get("/tasks", params={name: API_KEY}, headers={"X-API-Key": API_KEY})
    assert (answer.status_code, answer.json()["code"]) == (401, "unknown_key")
    assert "address" in answer.json()["detail"]
    assert API_KEY not in answer.text


def test_a_machine_with_its_key_in_the_address_gets_no_session(shared: Served) -> None:
    with pytest.raises(InvalidStatus) as refused, connect(
        f"ws://127.0.0.1:{shared.port}/ws?token={MACHINE_KEY}", proxy=None,
        additional_headers={"Authorization": f"Bearer {MACHINE_KEY}"},
    ):  # fmt: skip
        pass
    assert refused.value.response.status_code == 401
    assert MACHINE_KEY.encode() not in refused.value.response.body


def test_whoever_asks_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    with serve(tmp_path, RATE_LIMIT_PER_MINUTE="3", API_KEY=f"phone={API_KEY},claude={OTHER}") as relay:
        assert [relay.http.get("/tasks").status_code for _ in range(4)] == [200, 200, 200, 429]
        answer = relay.command(task_id="too-often")
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert "RATE_LIMIT_PER_MINUTE" in answer.json()["detail"]
        # The limit is for each name; others and machines are not held up.
        assert relay.http.get("/tasks", headers={"X-API-Key": OTHER}).status_code == 200
        assert relay.report("nothing").status_code == 404
        assert relay.rows("SELECT count(*) FROM tasks") == [(0,)]


def test_without_a_limit_nobody_asks_too_often() -> None:
    door = doors(RATE_LIMIT_PER_MINUTE="0")
    assert {door.caller(visitor(API_KEY)) for _ in range(2_000)} == {"phone"}


def test_a_limit_is_lifted_as_time_goes_by() -> None:
    now = 0.0
    door = doors(lambda: now, RATE_LIMIT_PER_MINUTE="2")
    door.caller(visitor(API_KEY))
    door.caller(visitor(API_KEY))
    with pytest.raises(Problem) as refused:
        door.caller(visitor(API_KEY))
    assert (refused.value.code, refused.value.retry_after) == (Code.TOO_MANY, 30)
    now = 30.0
    assert door.caller(visitor(API_KEY)) == "phone"


def test_wrong_keys_from_one_address_are_slowed_down_and_a_right_key_still_passes(tmp_path: Path) -> None:
    with serve(tmp_path, failures=3) as relay:
        wrong = {"X-API-Key": WRONG}
        codes = [relay.http.get("/tasks", headers=wrong).status_code for _ in range(5)]
        assert codes == [401, 401, 401, 429, 429]
        answer = relay.http.post("/webhook", content=b"{}", headers=wrong)
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many")
        assert int(answer.headers["retry-after"]) >= 1
        forged = {"X-Hub-Signature-256": "sha256=00"}
        with httpx.Client(trust_env=False) as stranger:
            assert stranger.post(f"{relay.address}/webhook", content=b"{}", headers=forged).status_code == 429
        assert relay.command().status_code == 202
        with pytest.raises(InvalidStatus) as refused, relay.machine(WRONG):
            pass
        assert refused.value.response.status_code == 429
        with relay.machine() as machine:
            assert machine.webhook()["caller"] == "phone"


def test_wrong_keys_are_counted_for_each_address() -> None:
    door = doors(lambda: 0.0)
    codes = []
    for host in ["192.0.2.1"] * (FAILURES_PER_MINUTE + 1) + ["192.0.2.2"]:
        with pytest.raises(Problem) as refused:
            door.caller(visitor(WRONG, host=host))
        codes.append(refused.value.code)
    assert codes == [Code.UNKNOWN_KEY] * FAILURES_PER_MINUTE + [Code.TOO_MANY, Code.UNKNOWN_KEY]
