"""Standard Webhooks: a signature over id, time and body instead of a key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from tests.chain import API_KEY
from tests.relay.conftest import WEBHOOK_SECRET, Served, serve

OTHER_SECRET = "whsec_YW5vdGhlci1mYWtlLXNlY3JldC0wMDAwMDAwMA=="
BODY = json.dumps({"type": "task_command", "data": {"action_type": "git"}})


def signed(
    body: str = BODY, webhook_id: str = "msg-1", *, secret: str = WEBHOOK_SECRET, age_s: float = 0
) -> dict[str, str]:
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(webhook_id, at, body),
    }


@pytest.fixture(scope="module")
def service(shared: Served) -> Iterator[httpx.Client]:
    """Somebody who signs and has no key."""
    with httpx.Client(base_url=shared.address, trust_env=False, timeout=30) as client:
        yield client


def post(service: httpx.Client, headers: Any, body: str | bytes = BODY) -> httpx.Response:
    raw = body.encode() if isinstance(body, str) else body
    return service.post("/webhook", content=raw, headers=headers)


def test_a_signed_command_runs_in_the_name_that_the_secret_has(shared: Served, service: httpx.Client) -> None:
    answer = post(service, signed(webhook_id="named"))
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    with shared.machine() as machine:
        frame = machine.webhook()
        machine.ack(frame["delivery_id"])
    assert (frame["caller"], frame["delivery_id"], frame["event"]) == ("zapier", "named", "task_command")


def test_the_same_webhook_again_is_a_duplicate(shared: Served, service: httpx.Client) -> None:
    headers = signed(webhook_id="again")
    first, again = post(service, headers), post(service, headers)
    assert (first.json()["duplicate"], again.json()["duplicate"]) == (False, True)
    assert first.json()["task_id"] == again.json()["task_id"]
    # Signed anew, as a service does that tries again later.
    assert post(service, signed(webhook_id="again", age_s=60)).json()["duplicate"] is True
    assert shared.rows("SELECT count(*) FROM deliveries WHERE delivery_id = 'again'") == [(1,)]
    other = json.dumps({"type": "note"})
    assert post(service, signed(other, "again"), other).status_code == 409


def wrong_ones() -> dict[str, tuple[Any, str | bytes]]:
    good = signed()
    signature = good["webhook-signature"]
    return {
        "another body": (good, BODY + " "),
        "another id": ({**good, "webhook-id": "msg-2"}, BODY),
        "another time": ({**good, "webhook-timestamp": str(int(good["webhook-timestamp"]) + 1)}, BODY),
        "another secret": (signed(secret=OTHER_SECRET), BODY),
        "too old": (signed(age_s=600), BODY),
        "from the future": (signed(age_s=-600), BODY),
        "no time": ({name: good[name] for name in ("webhook-id", "webhook-signature")}, BODY),
        "no id": ({name: good[name] for name in ("webhook-timestamp", "webhook-signature")}, BODY),
        "a time that is none": ({**good, "webhook-timestamp": "now"}, BODY),
        "an endless time": ({**good, "webhook-timestamp": "inf"}, BODY),
        "no comma": ({**good, "webhook-signature": signature.replace(",", "")}, BODY),
        "two commas": ({**good, "webhook-signature": signature + ",x"}, BODY),
        "no signature": ({**good, "webhook-signature": ""}, BODY),
        "a space within": ({**good, "webhook-signature": signature.replace(",", ", ")}, BODY),
        "another version": ({**good, "webhook-signature": "v9" + signature[2:]}, BODY),
        "no base64": ({**good, "webhook-signature": "v1,%%%"}, BODY),
        "half base64": ({**good, "webhook-signature": "v1,abc"}, BODY),
        "not ascii": ([(b"webhook-signature", b"v1,\xff\xfe"), (b"webhook-id", b"\xff"),
                       (b"webhook-timestamp", good["webhook-timestamp"].encode())], BODY),
        "a body that is no text": (good, b"\xff\xfe{}"),
    }  # fmt: skip


@pytest.mark.parametrize("case", wrong_ones())
def test_what_is_not_signed_right_is_refused_and_breaks_nothing(
    shared: Served, service: httpx.Client, case: str
) -> None:
    before = shared.rows("SELECT count(*) FROM deliveries")
    headers, body = wrong_ones()[case]
    answer = post(service, headers, body)
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_signature")
    assert WEBHOOK_SECRET not in answer.text
    assert shared.rows("SELECT count(*) FROM deliveries") == before


def test_one_good_signature_of_several_is_enough(service: httpx.Client) -> None:
    good = signed(webhook_id="several")
    foreign = signed(webhook_id="several", secret=OTHER_SECRET)["webhook-signature"]
    both = {**good, "webhook-signature": f"{foreign} {good['webhook-signature']}"}
    assert post(service, both).status_code == 202


def test_every_one_of_several_secrets_is_known_by_its_name(tmp_path: Path) -> None:
    with serve(tmp_path, WEBHOOK_SECRET=f"zapier={WEBHOOK_SECRET},make={OTHER_SECRET}") as relay:
        for webhook_id, secret in (("m1", WEBHOOK_SECRET), ("m2", OTHER_SECRET)):
            with httpx.Client(base_url=relay.address, trust_env=False) as service:
                assert post(service, signed(BODY, webhook_id, secret=secret)).status_code == 202
        assert relay.rows("SELECT caller FROM deliveries ORDER BY seq") == [("zapier",), ("make",)]


def test_without_a_secret_no_signature_is_believed(tmp_path: Path) -> None:
    with serve(tmp_path, WEBHOOK_SECRET="") as relay, httpx.Client(trust_env=False) as service:
        answer = service.post(f"{relay.address}/webhook", content=BODY.encode(), headers=signed())
        assert (answer.status_code, answer.json()["code"]) == (401, "bad_signature")
        assert "WEBHOOK_SECRET" in answer.json()["detail"]


def test_a_key_goes_before_a_signature(service: httpx.Client) -> None:
    wrong = {**signed(secret=OTHER_SECRET, webhook_id="by-key"), "X-API-Key": API_KEY}
    assert post(service, wrong).status_code == 202


def test_who_signs_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    with serve(tmp_path, RATE_LIMIT_PER_MINUTE="2") as relay, httpx.Client(trust_env=False) as service:
        url = f"{relay.address}/webhook"
        codes = [
            service.post(url, content=BODY.encode(), headers=signed(BODY, f"m{number}")).status_code
            for number in range(3)
        ]
    assert codes == [202, 202, 429]
