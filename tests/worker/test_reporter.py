"""Reports leave from the rows until the relay has them."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from urllib3.exceptions import (
    ConnectTimeoutError,
    MaxRetryError,
    NameResolutionError,
    ProtocolError,
    ReadTimeoutError,
    ResponseError,
    SSLError,
)

from relay.protocol import MAX_BODY_BYTES, MAX_OUTPUT_CHARS, Report, Status
from tests.chain import MACHINE_KEY, wait_until
from tests.worker.conftest import NOW
from worker import models, moves, reporter
from worker.away import Away, away
from worker.models import Task
from worker.reporter import Reporter, report_of
from worker.settings import Settings

Add = Callable[..., Task]
PROBLEM = {"Content-Type": "application/problem+json"}


class Relay:
    """Takes reports and answers as it is told to; the last answer stands for all that follow."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answers: list[tuple[int, dict[str, str]]] = [(200, {})]
        self.refused: list[dict[str, str]] = []
        relay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                relay.requests.append(
                    {"path": self.path, "key": self.headers["Authorization"], **json.loads(body)}
                )
                status, headers = relay.answers.pop(0) if len(relay.answers) > 1 else relay.answers[0]
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                said = json.dumps({"refused": relay.refused}).encode()
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_PUT  # noqa: N815 - a redirect would come as this

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"

    @property
    def seen(self) -> list[dict[str, Any]]:
        """Every report, in the order in which they came."""
        return [report for request in self.requests for report in request["reports"]]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def relay() -> Iterator[Relay]:
    one = Relay()
    yield one
    one.close()


def make(address: str) -> Reporter:
    return Reporter(Settings.read({"MACHINE_KEY": MACHINE_KEY, "RELAY_SERVER_URL": address}))


@pytest.fixture
def sender(records: Path, relay: Relay) -> Iterator[Reporter]:
    one = make(relay.address)
    yield one
    one._pool.clear()


def unreported() -> list[str]:
    return [task.id for task in models.unreported(100)]


def test_every_news_is_sent_with_the_machines_key_and_marked(
    relay: Relay, sender: Reporter, add: Add
) -> None:
    add("a")
    add("b")
    sender._send_all()
    assert [(one["task_id"], one["status"], one["rev"]) for one in relay.seen] == [
        ("a", "pending", 1), ("b", "pending", 2),
    ]  # fmt: skip
    assert [(one["path"], one["key"]) for one in relay.requests] == [("/tasks", f"Bearer {MACHINE_KEY}")]
    assert unreported() == []
    moves.claim("a", "me", NOW)
    sender._send_all()
    assert (relay.seen[-1]["status"], relay.seen[-1]["rev"], len(relay.seen)) == ("running", 3, 3)
    sender._send_all()
    assert len(relay.seen) == 3


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (500, {}), (502, {}), (503, {"Retry-After": "2"}), (429, {"Retry-After": "1"}), (401, PROBLEM),
        (403, PROBLEM),
        (404, {"Content-Type": "text/html"}), (404, {}), (404, PROBLEM), (422, {}), (200 + 2, {}),
        (301, {"Location": "/elsewhere"}),
        (307, {"Location": "http://127.0.0.1:9/"}), (413, {}), (405, PROBLEM),
    ],
)  # fmt: skip
def test_news_that_the_relay_does_not_take_now_are_kept(
    relay: Relay, sender: Reporter, add: Add, status: int, headers: dict[str, str]
) -> None:
    add("a")
    relay.answers = [(status, headers)]
    with pytest.raises(Away):
        sender._send_all()
    assert unreported() == ["a"]
    relay.answers = [(200, {})]
    sender._send_all()
    assert unreported() == []


@pytest.mark.parametrize("status", [413, 422])
def test_news_that_the_relay_itself_will_never_take_do_not_hold_up_the_others(
    relay: Relay, sender: Reporter, add: Add, status: int
) -> None:
    add("odd")
    add("b")
    relay.answers = [(status, PROBLEM), (status, PROBLEM), (200, {})]
    sender._send_all()
    told = [[report["task_id"] for report in request["reports"]] for request in relay.requests]
    assert told == [["odd", "b"], ["odd"], ["b"]]
    assert unreported() == []


def test_a_report_that_is_refused_beside_others_is_not_sent_again(
    relay: Relay, sender: Reporter, add: Add, caplog: pytest.LogCaptureFixture
) -> None:
    add("unknown-there")
    add("b")
    relay.refused = [{"task_id": "unknown-there", "code": "not_found", "detail": "No such task here"}]
    sender._send_all()
    assert len(relay.requests) == 1
    assert unreported() == []
    assert "unknown-there: No such task here" in caplog.text


def test_what_was_printed_is_spread_over_requests_that_the_relay_takes(
    relay: Relay, sender: Reporter, add: Add
) -> None:
    models.output_dir().mkdir(exist_ok=True)
    for number in range(20):
        # Four bytes each.
        models.output_path(add(f"t{number}")).write_text("🙂" * MAX_OUTPUT_CHARS)
    sender._send_all()
    assert [report["task_id"] for report in relay.seen] == [f"t{number}" for number in range(20)]
    assert len(relay.requests) > 1
    sizes = [len(json.dumps(request, ensure_ascii=False).encode()) for request in relay.requests]
    assert max(sizes) < MAX_BODY_BYTES
    assert unreported() == []


def test_a_redirect_is_not_followed_and_the_key_goes_nowhere_else(
    relay: Relay, sender: Reporter, add: Add
) -> None:
    other = Relay()
    try:
        add("a")
        for status in (301, 302, 303, 307, 308):
            relay.answers = [(status, {"Location": f"{other.address}/tasks"})]
            with pytest.raises(Away):
                sender._send_all()
        assert other.requests == []
    finally:
        other.close()


def test_a_relay_that_is_not_there_is_away(records: Path, add: Add, caplog: pytest.LogCaptureFixture) -> None:
    add("a")
    gone = Relay()
    gone.close()
    sender = make(gone.address)
    with pytest.raises(Away, match=r"^Connection refused$"):
        sender._send_all()
    assert unreported() == ["a"]
    assert "urllib3" not in caplog.text
    assert "Retry" not in caplog.text


def caused(problem: Exception, cause: Exception) -> Exception:
    problem.__cause__ = cause
    return problem


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (
            NameResolutionError("relay.example.invalid", None, socket.gaierror(-2, "no")),
            "name cannot be looked up",
        ),
        (ReadTimeoutError(None, "/tasks", "too late"), "did not answer in time"),
        (ConnectTimeoutError(None, "too late"), "did not answer in time"),
        (SSLError("self-signed certificate"), "no safe line to it .*self-signed"),
        (caused(SSLError("expired"), ssl.SSLError(1, "expired")), "no safe line to it .*expired"),
        (caused(ProtocolError("x"), ConnectionResetError(104, "x")), "^Connection reset by peer$"),
        (ProtocolError("Connection aborted."), "the line was cut"),
        (ResponseError("too many redirects"), "it sends elsewhere"),
    ],
)
def test_why_the_relay_is_away_is_said_in_plain_words(reason: Exception, words: str) -> None:
    for problem in (reason, MaxRetryError(None, "/tasks", reason)):
        said = str(away(problem))
        assert re.search(words, said)
        assert "Error" not in said


def test_news_that_came_while_the_report_travelled_are_sent_as_well(
    relay: Relay, sender: Reporter, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    add("a")
    real = Reporter._send

    def send(self: Reporter, bundle: list[tuple[Task, bytes]]) -> None:
        real(self, bundle)
        if bundle[0][0].status == Status.PENDING:
            moves.claim("a", "me", NOW)

    monkeypatch.setattr(Reporter, "_send", send)
    sender._send_all()
    assert [one["status"] for one in relay.seen] == ["pending", "running"]
    assert unreported() == []


def test_the_thread_sends_when_it_is_woken_and_stops_when_told(
    relay: Relay, records: Path, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "LOOK_S", 60.0)
    sender = make(relay.address)
    sender.start()
    for number in range(5):
        add(f"t{number}")
        sender.wake()
        wait_until(lambda n=number: len(relay.seen) > n, "it is sent", 10)
    sender.stop(5)
    assert not sender._thread.is_alive()
    sender._pool.clear()


def test_the_thread_looks_by_itself_because_other_processes_write_too(
    relay: Relay, records: Path, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "LOOK_S", 0.05)
    sender = make(relay.address)
    sender.start()
    add("a")
    wait_until(lambda: relay.seen, "it is sent without being woken", 10)
    sender.stop(5)
    sender._pool.clear()


def test_the_thread_survives_everything_and_sends_later(
    relay: Relay, records: Path, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "LOOK_S", 0.02)
    monkeypatch.setattr(reporter, "MAX_PAUSE_S", 0.02)
    faults: list[Exception] = [
        models.STORE_ERRORS[0]("database is locked"),
        KeyError("ours"),
        OSError("full"),
    ]
    real = models.unreported

    def unreliable(limit: int, *more: Any) -> list[Task]:
        if faults:
            raise faults.pop()
        return real(limit, *more)

    monkeypatch.setattr(models, "unreported", unreliable)
    relay.answers = [(503, {}), (502, {}), (200, {})]
    sender = make(relay.address)
    sender.start()
    add("a")
    wait_until(lambda: len(relay.requests) == 3, "the third try is taken", 15)
    wait_until(lambda: real(5) == [], "it is marked", 5)
    sender.stop(5)
    sender._pool.clear()


def test_stopping_sends_what_is_there(
    relay: Relay, records: Path, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "LOOK_S", 60.0)
    sender = make(relay.address)
    sender.start()
    add("last")
    sender.stop(5)
    assert [one["task_id"] for one in relay.seen] == ["last"]
    sender._pool.clear()


def ended(add: Add, log: bytes, **values: Any) -> Task:
    task = add("t")
    models.output_dir().mkdir(exist_ok=True)
    models.output_path(task).write_bytes(log)
    Task.update(status=Status.FAILED, **values).where(Task.id == "t").execute()
    found = models.get("t")
    assert found is not None
    return found


def test_a_log_that_cannot_be_read_holds_up_no_report(sender: Reporter, relay: Relay, add: Add) -> None:
    for name in ("one", "two"):
        add(name)
    models.output_path(add("three")).mkdir(parents=True)  # Whatever opening it answers.
    sender._send_all()
    assert unreported() == []


def test_a_row_that_cannot_be_told_is_told_in_short(
    sender: Reporter, relay: Relay, add: Add, caplog: pytest.LogCaptureFixture
) -> None:
    add("odd", output_data="no JSON")
    add("good")
    sender._send_all()
    assert unreported() == []
    assert "What task odd printed cannot be reported" in caplog.text


def test_a_report_is_the_row_and_the_end_of_the_log(add: Add) -> None:
    task = ended(
        add, b"line\n" * 10, reason="exit_status", error="It ended with exit status 1",
        output_data=json.dumps({"returncode": 1, "headline": "no", "stdout": "..."}), started_at=NOW,
        completed_at=NOW,
    )  # fmt: skip
    report = report_of(task)
    assert (report.task_id, report.rev, report.attempt, report.status, report.reason) == (
        "t",
        1,
        1,
        "failed",
        "exit_status",
    )
    assert (report.returncode, report.headline, report.output, report.truncated) == (
        1,
        "no",
        "line\n" * 10,
        False,
    )
    assert (report.started_at, report.completed_at) == (NOW, NOW)


@pytest.mark.parametrize(
    ("log", "output", "truncated"),
    [
        (b"", "", False),
        (b"a\x00b", "a\N{REPLACEMENT CHARACTER}b", False),
        (b"\xff\xfe", "\N{REPLACEMENT CHARACTER}" * 2, False),
        ("é".encode() * MAX_OUTPUT_CHARS, "é" * MAX_OUTPUT_CHARS, False),
        (b"x" + b"y" * MAX_OUTPUT_CHARS, "y" * MAX_OUTPUT_CHARS, True),
        (b"first" + b"y" * 1_000_000, "y" * MAX_OUTPUT_CHARS, True),
        ("😀".encode() * 30_000, "😀" * MAX_OUTPUT_CHARS, True),
        (b"x" + "😀".encode() * 30_000, "😀" * MAX_OUTPUT_CHARS, True),
    ],
)
def test_the_end_of_any_log_can_travel(add: Add, log: bytes, output: str, truncated: bool) -> None:
    report = report_of(ended(add, log))
    assert (report.output, report.truncated) == (output, truncated)


def test_nul_and_length_in_any_text_cannot_stop_a_report(add: Add) -> None:
    task = ended(
        add, b"", error="a\x00b" + "x" * 10_000, output_data=json.dumps({"headline": "h\x00" + "y" * 500})
    )
    report = Report.model_validate_json(report_of(task).model_dump_json())
    assert "\x00" not in f"{report.error}{report.headline}"
    assert (len(report.error or ""), len(report.headline or "")) == (4_000, 200)


def test_without_a_log_there_is_no_output(add: Add) -> None:
    assert report_of(add("t")).output == ""
