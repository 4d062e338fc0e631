"""The server around the relay: clients that only half speak, and a stop while sessions are open."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState
from websockets.sync.client import connect

from relay import channel, server
from relay.server import UNSENT_S, configuration, listen
from tests.chain import API_KEY, MACHINE_KEY, free_port, wait_until
from tests.relay.conftest import Machine, Served, serve
from tests.relay.test_main import command, running

HALVES = (
    b"", b"G", b"GET / HTTP/1.1\r\n", b"POST /webhook HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n",
)  # fmt: skip

MCP = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
LOOK = {**LIST, "method": "tools/call", "params": {"name": "get_task", "arguments": {"task_id": "t"}}}


@contextmanager
def half_open(relay: Served, half: bytes) -> Iterator[socket.socket]:
    """A client that says *half* and then nothing more."""
    with socket.create_connection(("127.0.0.1", relay.port), timeout=10) as client:
        client.sendall(half)
        yield client


def ask(client: socket.socket, answers: BinaryIO) -> None:
    """One whole request, and its whole answer."""
    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answers.readline() == b"HTTP/1.1 200 OK\r\n"
    headers = b"".join(iter(answers.readline, b"\r\n"))
    answers.read(int(headers.lower().partition(b"content-length: ")[2].split()[0]))


def is_cut_off(client: socket.socket) -> bool:
    try:
        return client.recv(1_000) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("half", HALVES)
def test_headers_that_never_come_are_not_waited_for(
    shared: Served, monkeypatch: pytest.MonkeyPatch, half: bytes
) -> None:
    monkeypatch.setattr(server, "HEADERS_S", 0.1)
    with half_open(shared, half) as client:
        assert is_cut_off(client)


def pour(client: socket.socket, more: bytes) -> None:
    """Send *more* twenty thousand times, and read nothing."""
    for _ in range(20_000):
        client.sendall(more)


@pytest.mark.parametrize("more", [b"X-More: " + b"a" * 1_000 + b"\r\n", b"a" * 1_000])
def test_headers_without_end_are_not_kept(shared: Served, more: bytes) -> None:
    with half_open(shared, b"GET / HTTP/1.1\r\nX: ") as client, pytest.raises(ConnectionError):
        pour(client, more)


def test_requests_that_do_not_wait_for_their_answers_are_refused(shared: Served) -> None:
    with half_open(shared, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1_000) as client:
        answers = b"".join(iter(lambda: client.recv(65_536), b""))
    assert b"HTTP/1.1 400" in answers
    assert answers.count(b"HTTP/1.1 200") <= server.MAX_PIPELINED


def test_headers_that_drip_are_not_waited_for_either(shared: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEADERS_S", 0.2)
    with half_open(shared, b"GET / HTTP/1.1\r\n") as client:
        client.settimeout(0.02)

        def is_over() -> bool:
            try:
                client.sendall(b"X-More: 1\r\n")
                return client.recv(1) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        wait_until(is_over, "the connection is cut off", 5)


def test_a_second_request_that_only_begins_is_cut_off_too(
    shared: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEADERS_S", 0.2)
    with half_open(shared, b"") as client, client.makefile("rb") as answers:
        ask(client, answers)
        client.sendall(b"GET / HTT")
        assert is_cut_off(client)


def test_a_connection_that_is_kept_open_between_requests_is_left_alone(
    shared: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    with half_open(shared, b"") as client, client.makefile("rb") as answers:
        ask(client, answers)
        monkeypatch.setattr(server, "HEADERS_S", 0.04)
        time.sleep(0.05)
        ask(client, answers)


REFUSED = b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"


@pytest.mark.parametrize("more", [b"", b"x"])
def test_the_rest_of_a_body_that_was_refused_is_not_waited_for(
    shared: Served, monkeypatch: pytest.MonkeyPatch, more: bytes
) -> None:
    monkeypatch.setattr(server, "REST_S", 0.2)
    with half_open(shared, REFUSED) as client, client.makefile("rb") as answers:
        assert answers.readline() == b"HTTP/1.1 401 Unauthorized\r\n"
        client.sendall(more)
        answers.read()  # until it is cut off


def test_a_body_that_comes_after_its_refusal_leaves_a_connection_that_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "REST_S", 0.3)
    monkeypatch.setattr(server, "KEEP_ALIVE_S", 2)
    with serve(tmp_path) as relay, half_open(relay, REFUSED) as client, client.makefile("rb") as answers:
        headers = b"".join(iter(answers.readline, b"\r\n"))
        answers.read(int(headers.lower().partition(b"content-length: ")[2].split()[0]))
        client.sendall(b"x" * 4)
        client.sendall(b"x" * 6)
        time.sleep(0.35)
        ask(client, answers)
        client.sendall(REFUSED + b"x" * 3)
        headers = b"".join(iter(answers.readline, b"\r\n"))
        client.sendall(b"x" * 7)
        answers.read()  # until it has been idle for too long


@pytest.mark.parametrize(
    ("path", "digits", "status"),
    [
        ("/webhook", "0" * 5_000 + "2", 422), ("/webhook", "1" * 18, 413),
        ("/mcp", "0" * 5_000 + "2", 400), ("/mcp", "1" * 18, 413),
    ],
)  # fmt: skip
def test_the_length_of_a_body_may_be_written_at_any_length(
    shared: Served, path: str, digits: str, status: int
) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {API_KEY}\r\n"
    kind = "Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n"
    request = f"{head}{kind}Content-Length: {digits}\r\n\r\n[]".encode()
    with half_open(shared, request) as client, client.makefile("rb") as answers:
        assert answers.readline().split()[1] == b"%d" % status


def test_a_session_is_not_taken_for_headers_that_do_not_come(
    shared: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Long enough to connect on a busy machine, and then outlived.
    monkeypatch.setattr(server, "HEADERS_S", 0.4)
    with shared.machine() as machine:
        time.sleep(0.45)
        assert machine.is_silent()


def test_a_session_on_a_connection_that_was_used_before_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As a proxy does it that keeps its connections to us.
    monkeypatch.setattr(server, "KEEP_ALIVE_S", 1)
    upgrade = (
        b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Authorization: Bearer " + MACHINE_KEY.encode() + b"\r\n\r\n"
    )
    monkeypatch.setattr(channel, "HELLO_S", 30)
    with serve(tmp_path) as relay, half_open(relay, b"") as client, client.makefile("rb") as answers:
        ask(client, answers)
        client.sendall(upgrade)
        assert b" 101 " in answers.readline()
        b"".join(iter(answers.readline, b"\r\n"))
        client.sendall(b"\x8a\x80\x00\x00\x00\x00")  # a pong that nobody asked for
        client.settimeout(1.6)
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_clients_that_only_half_speak_do_not_disturb_others(shared: Served) -> None:
    slow_body = b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nX-API-Key: %s\r\n\r\n{"
    halves = (*HALVES, slow_body % API_KEY.encode())
    with ExitStack() as stack:
        for number in range(200):
            stack.enter_context(half_open(shared, halves[number % len(halves)]))
        machine = stack.enter_context(shared.machine())
        for number in range(20):
            assert shared.command(task_id=f"t{number}").status_code == 202
            machine.ack(machine.webhook()["delivery_id"])


def test_a_malformed_body_between_good_ones_harms_none_of_them(shared: Served) -> None:
    def post(number: int) -> int:
        good = {"type": "task_command", "data": {"task_id": f"t{number}", "action_type": "git"}}
        options = {"content": b"[" * 50_000} if number % 32 == 31 else {"json": good}
        return shared.http.post("/webhook", **options).status_code

    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(post, range(320)))
    assert {code for number, code in enumerate(codes) if number % 32 == 31} == {422}
    assert {code for number, code in enumerate(codes) if number % 32 != 31} == {202}


class Wire(asyncio.Transport):
    """A connection that keeps what is sent over it, segment by segment."""

    def __init__(self) -> None:
        super().__init__()
        self.segments: list[bytes] = []
        self.is_closed = False
        self.protocol: asyncio.BaseProtocol = asyncio.Protocol()

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_closed
        self.segments.append(bytes(data))

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


async def answered(app: ASGIApp, request: bytes = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") -> Wire:
    """What *app* has sent as an answer to *request* after a few turns of the event loop."""
    config, wire = configuration(app), Wire()
    config.load()
    protocol = config.http_protocol_class(config=config, server_state=ServerState(), app_state={})
    wire.protocol = protocol
    protocol.connection_made(wire)
    protocol.data_received(request)
    for _ in range(10):
        await asyncio.sleep(0)
    protocol.connection_lost(None)
    return wire


HEAD = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}


def test_an_answer_leaves_in_one_segment() -> None:
    wire = asyncio.run(answered(PlainTextResponse("ok")))
    (segment,) = wire.segments
    assert segment.startswith(b"HTTP/1.1 200 OK")
    assert segment.endswith(b"\r\n\r\nok")


def test_what_comes_behind_a_body_is_not_kept() -> None:
    seen: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        seen.extend(name for name, _ in scope["headers"])
        await send(HEAD)

    start = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    asyncio.run(answered(app, start + b"X-Behind: 1\r\n" * 9 + b"\r\n"))
    assert seen == [b"host", b"transfer-encoding"]


def test_the_head_of_a_body_that_takes_longer_goes_ahead() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(HEAD)
        for part in (b"o", b"k"):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await send({"type": "http.response.body", "body": part, "more_body": part == b"o"})

    head, *body = asyncio.run(answered(app)).segments
    assert head.endswith(b"\r\n\r\n")
    assert body == [b"o", b"k"]


def test_a_head_without_a_body_leaves_before_the_connection_is_closed() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(HEAD)

    wire = asyncio.run(answered(app))
    assert [segment[:15] for segment in wire.segments] == [b"HTTP/1.1 200 OK"]
    assert wire.is_closed


def test_a_client_that_asks_is_told_to_continue_before_the_body() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await PlainTextResponse("ok")(scope, receive, send)

    head = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    assert asyncio.run(answered(app, head)).segments == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    everything = b"".join(asyncio.run(answered(app, head + b"hi")).segments)
    assert everything.endswith(b"\r\n\r\nok")


def test_a_peer_that_takes_no_byte_is_given_up_by_the_system() -> None:
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            patience = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert patience == UNSENT_S * 1_000


def test_a_dead_machine_is_found_within_twenty_five_seconds() -> None:
    config = configuration(lambda *_: None)  # type: ignore[arg-type, return-value]
    assert config.ws_ping_interval is not None
    assert config.ws_ping_timeout is not None
    assert config.ws_ping_interval + config.ws_ping_timeout <= 20
    assert UNSENT_S <= 20


def test_a_stop_answers_waiting_callers_at_once_with_what_is_known(tmp_path: Path) -> None:
    port = free_port()
    with running(tmp_path, port) as (process, client), ThreadPoolExecutor(4) as pool, connect(
        f"ws://127.0.0.1:{port}/ws", proxy=None, close_timeout=1,
        additional_headers={"Authorization": f"Bearer {MACHINE_KEY}"},
    ) as connection:  # fmt: skip
        machine = Machine(connection)
        machine.greet()
        assert client.post("/webhook", json=command("t")).status_code == 202
        machine.ack(machine.webhook()["delivery_id"])
        assert client.post("/mcp", json=LIST, headers=MCP).status_code == 200, "the SDK is loaded"
        files = Path(f"/proc/{process.pid}/fd")
        before, wait = len(list(files.iterdir())), {"params": {"wait": 40}}
        waiting = [
            pool.submit(lambda: client.get("/tasks/t", **wait)),
            pool.submit(lambda: client.post("/mcp", json=LOOK, headers=MCP)),
            pool.submit(lambda: client.post("/webhook", json=command("w"), **wait)),
            pool.submit(lambda: client.post("/tasks/t/cancel", **wait)),
        ]
        assert {machine.webhook()["event"] for _ in range(2)} == {"task_command", "task_cancel"}
        # The connection of the first requests is used again.
        wait_until(lambda: len(list(files.iterdir())) >= before + 3, "all have asked")
        client.get("/").raise_for_status()
        process.send_signal(signal.SIGTERM)
        assert machine.close_code() == 1012
        process.wait(10)
        answers = [one.result(10) for one in waiting]
        assert [one.status_code for one in answers] == [200, 200, 202, 202]
        assert all("pending" in one.text for one in answers)
        assert process.stderr is not None
        said = process.stderr.read()
        assert "Traceback" not in said
        assert "Cancel" not in said, "nobody was waited for until the time was over"
    with running(tmp_path, port) as (_, client):
        assert client.get("/tasks/t").json()["status"] == "pending"


@pytest.mark.parametrize("knocks", [b"X-API-Key: %s" % API_KEY.encode(), b"X-Hub-Signature-256: sha256=00"])
def test_a_client_that_goes_away_amid_its_body_is_no_fault_of_ours(
    relay: Served, caplog: pytest.LogCaptureFixture, knocks: bytes
) -> None:
    head = b"POST /webhook HTTP/1.1\r\nHost: x\r\n%s\r\nContent-Length: 100\r\n\r\n{" % knocks
    for _ in range(5):
        with half_open(relay, head):
            pass
        assert relay.http.get("/").status_code == 200
    assert relay.command().status_code == 202
    assert "Traceback" not in caplog.text
    assert not [one for one in caplog.records if one.levelname == "ERROR"]
