"""The window of a session and the envelope (pure)."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from pydantic import TypeAdapter

from relay.delivery import ACK_S, ENVELOPE_BYTES, WINDOW, WINDOW_BYTES, Window, envelope
from relay.protocol import RelayFrame, Webhook
from relay.tables import Delivery


class Sending(RuleBasedStateMachine):
    """A window beside a plain dictionary that says what must be in it."""

    def __init__(self) -> None:
        super().__init__()
        self.window = Window(4, 100)
        self.model: dict[str, tuple[int, int, float]] = {}
        self.seq = 0
        self.now = 0.0

    @rule(sizes=st.lists(st.integers(0, 150), max_size=6), seconds=st.floats(0, 10))
    def send(self, sizes: list[int], seconds: float) -> None:
        self.now += seconds
        waiting = [(self.seq + number, size) for number, size in enumerate(sizes, start=1)]
        chosen = self.window.fit(waiting)
        assert chosen == [seq for seq, _ in waiting[: len(chosen)]], "in order, and nothing overtaken"
        for seq, size in waiting[: len(chosen)]:
            self.window.sent(f"d{seq}", seq, size, self.now)
            self.model[f"d{seq}"] = (seq, size, self.now)
        self.seq += len(sizes)
        if waiting and not self.model:
            raise AssertionError("an empty window takes at least one, however large")

    @rule(ids=st.lists(st.integers(0, 12).map(lambda number: f"d{number}"), max_size=6))
    def answer(self, ids: list[str]) -> None:
        expected = [one for one in dict.fromkeys(ids) if one in self.model]
        assert self.window.answered(ids) == expected
        for one in expected:
            del self.model[one]

    @invariant()
    def agrees(self) -> None:
        assert sorted(self.window.in_flight) == sorted(seq for seq, _, _ in self.model.values())
        assert self.window.room == 4 - len(self.model)
        assert self.window.room >= 0
        assert sum(size for _, size, _ in self.model.values()) <= 100 or len(self.model) == 1
        sent = [at for _, _, at in self.model.values()]
        assert self.window.overdue_at == (min(sent) + ACK_S if sent else None)


def test_what_is_answered_out_of_turn_shows_what_was_passed_over() -> None:
    window = Window()
    for number in range(4):
        window.sent(f"d{number}", number, 1, 0.0)
    assert window.passed_over(ACK_S) == [], "a machine that answers nothing passes over nothing"
    window.answered(["d1", "d1", "strange"])
    assert window.passed_over(0.0) == ["d0"]
    window.answered(["d0"])
    assert window.passed_over(ACK_S) == []


def test_what_is_overdue_was_passed_over_by_a_machine_that_lived_on() -> None:
    window = Window()
    window.alive(0.0)
    window.sent("a", 1, 1, 1.0)
    window.sent("b", 2, 1, 20.0)
    assert window.passed_over(1.0 + ACK_S) == []
    window.alive(15.0)
    assert window.passed_over(0.9 + ACK_S) == []
    assert window.passed_over(1.0 + ACK_S) == ["a"]
    assert window.passed_over(20.0 + ACK_S) == ["a"]


TestSending = Sending.TestCase
TestSending.settings = settings(max_examples=50)


def test_the_window_is_as_wide_as_documented() -> None:
    assert Window().room == WINDOW == 32
    assert WINDOW_BYTES == 1_048_576
    assert Window().fit([(1, WINDOW_BYTES), (2, 1)]) == [1]
    assert Window().fit([(1, WINDOW_BYTES + 1), (2, 1)]) == [1]
    assert Window().fit([(1, 1), (2, WINDOW_BYTES)]) == [1]


def _delivery(**changes: Any) -> Delivery:
    values = {
        "seq": 1, "delivery_id": "d", "machine": "laptop", "event": "note", "payload": "{}", "digest": "",
        "caller": "phone", "accepted_at": 1_000.0, "expires_at": 1_600.0, "sends": 0,
    }  # fmt: skip
    return Delivery(**{**values, **changes})


@given(
    st.dictionaries(st.text(), st.text() | st.integers() | st.booleans() | st.none()),
    st.floats(0, 4e9),
    st.floats(-1e6, 1e6),
    st.integers(0, 1_000),
)
def test_every_envelope_is_a_frame_of_the_protocol(
    payload: dict[str, Any], accepted_at: float, age: float, sends: int
) -> None:
    text = json.dumps(payload)
    delivery = _delivery(payload=text, accepted_at=accepted_at, expires_at=accepted_at + 600, sends=sends)
    frame = envelope(delivery, accepted_at + age)
    assert frame.endswith(f"{text}}}"), "the payload is spliced in as it was accepted"
    read = TypeAdapter(RelayFrame).validate_python(json.loads(frame))
    assert isinstance(read, Webhook)
    assert (read.payload, read.attempt) == (payload, sends + 1)
    assert abs(read.expires_in - (600 - age)) < 0.01
    assert abs(read.timestamp.timestamp() - accepted_at) < 0.001


def test_the_frame_around_a_payload_is_never_larger_than_is_reckoned_with() -> None:
    delivery = _delivery(
        delivery_id="~" * 128, event="github." + "\U0001d400" * 100, caller="c" * 32, sends=10**6,
        accepted_at=4e9 + 0.123456, expires_at=-1e9 + 0.001,
    )  # fmt: skip
    assert len(envelope(delivery, 0.0).encode()) - len("{}") <= ENVELOPE_BYTES


def test_a_webhook_whose_time_has_passed_says_so() -> None:
    assert json.loads(envelope(_delivery(), now=1_700.0))["expires_in"] == -100.0
