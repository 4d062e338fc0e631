"""The listener against a relay that does as the test says."""

from __future__ import annotations

import asyncio
import http
import socket
import ssl
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close
from websockets.http11 import Request, Response

from listener import client, endings
from listener.endings import Hopeless
from relay.announced import Agent, Announced, AnnouncedProject
from relay.protocol import MAX_FRAME_BYTES
from tests.chain import MACHINE_KEY
from tests.listener.conftest import COUNT, Inbox, Relay, Session, Talk
from worker.inbox import Unacceptable, Unavailable

Listen = Callable[..., asyncio.Task[None]]


def run(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await work

    asyncio.run(bounded())


async def until(claim: Callable[[], Any]) -> None:
    async with asyncio.timeout(15):
        while not claim():  # noqa: ASYNC110 - what is waited for happens in real sockets and threads
            await asyncio.sleep(0.005)


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def comes_again(relay: Relay, listen: Listen, talk: Talk) -> None:
    """Let a listener run through *talk* until it has begun another session."""

    async def main() -> None:
        async with relay.serve(talk):
            task = listen()
            await until(lambda: relay.sessions >= 2)
            await end(task)

    run(main())


def response(status: int, **headers: str) -> Response:
    return Response(status, http.HTTPStatus(status).phrase, Headers(headers), b"no")


def test_it_shows_its_key_in_the_header_only_and_says_hello(relay: Relay, listen: Listen) -> None:
    async def main() -> None:
        done = asyncio.Event()

        async def talk(session: Session) -> None:
            hello = await session.welcome()
            assert (hello["type"], hello["protocol"], hello["machine"]) == ("hello", 1, "tower")
            assert session.key == f"Bearer {MACHINE_KEY}"
            done.set()
            await session.is_closed()

        async with relay.serve(talk):
            task = listen(MACHINE_NAME="tower", MACHINE_KEY=f"laptop={MACHINE_KEY}")
            await asyncio.wait_for(done.wait(), 10)
            await end(task)
        assert relay.requests[0].path == "/ws"
        assert MACHINE_KEY not in relay.requests[0].path

    run(main())


def test_it_acknowledges_what_the_inbox_has_taken_in_order(
    relay: Relay, listen: Listen, inbox: Inbox
) -> None:
    async def main() -> None:
        done = asyncio.Event()

        async def talk(session: Session) -> None:
            await session.welcome()
            for number in range(20):
                await session.webhook(number)
            taken: list[str] = []
            while len(taken) < 20:
                taken += (await session.hear())["delivery_ids"]
                assert len(inbox.taken) >= len(taken), "first the inbox, then the acknowledgement"
            assert taken == [f"d{number}" for number in range(20)]
            done.set()
            await session.is_closed()

        async with relay.serve(talk):
            task = listen()
            await asyncio.wait_for(done.wait(), 10)
            await end(task)
        assert [one.payload["number"] for one in inbox.taken] == list(range(20))
        assert len(inbox.threads) == 1
        assert not any(name == "MainThread" for name in inbox.threads), "the loop stays free for pings"

    run(main())


def test_it_refuses_what_the_inbox_can_never_take_and_goes_on(
    relay: Relay, listen: Listen, inbox: Inbox
) -> None:
    inbox.fault = lambda one: Unacceptable("The id was used before") if one.delivery_id == "d1" else None

    async def main() -> None:
        done = asyncio.Event()

        async def talk(session: Session) -> None:
            await session.welcome()
            for number in range(3):
                await session.webhook(number)
            taken: list[str] = []
            refused = []
            while len(taken) + len(refused) < 3:
                answer = await session.hear()
                taken += answer.get("delivery_ids", [])
                refused += [answer] if answer["type"] == "nack" else []
            assert taken == ["d0", "d2"]
            assert refused == [{"type": "nack", "delivery_id": "d1", "error": "The id was used before"}]
            done.set()
            await session.is_closed()

        async with relay.serve(talk):
            task = listen()
            await asyncio.wait_for(done.wait(), 10)
            await end(task)

    run(main())


def test_what_cannot_be_taken_now_is_not_acknowledged_and_comes_again(
    relay: Relay, listen: Listen, inbox: Inbox
) -> None:
    faults = [Unavailable("the disk is full")]
    inbox.fault = lambda _: faults.pop() if faults else None

    async def main() -> None:
        done = asyncio.Event()

        async def first(session: Session) -> None:
            await session.welcome()
            await session.webhook(1)
            # Neither an acknowledgement nor a refusal: it goes, and comes back.
            await session.is_closed()

        async def second(session: Session) -> None:
            await session.welcome()
            await session.webhook(1, attempt=2)
            assert await session.hear() == {"type": "ack", "delivery_ids": ["d1"]}
            done.set()
            await session.is_closed()

        async with relay.serve(first, second):
            task = listen()
            await asyncio.wait_for(done.wait(), 15)
            await end(task)

    run(main())


@pytest.mark.parametrize("fault", [OSError("a fault"), ZeroDivisionError("a bug"), OverflowError("x")])
def test_a_fault_of_ours_holds_up_nobody_else(
    relay: Relay, listen: Listen, inbox: Inbox, fault: Exception
) -> None:
    inbox.fault = lambda one: fault if one.delivery_id == "d1" else None

    async def main() -> None:
        done = asyncio.Event()

        async def talk(session: Session) -> None:
            await session.welcome()
            for number in range(4):
                await session.webhook(number)
            taken: list[str] = []
            while len(taken) < 3:
                taken += (await session.hear())["delivery_ids"]
            # The one that met the fault stays unanswered; the relay decides what becomes of it.
            assert taken == ["d0", "d2", "d3"]
            done.set()
            await session.is_closed()

        async with relay.serve(talk):
            task = listen()
            await asyncio.wait_for(done.wait(), 10)
            await end(task)

    run(main())


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_ends_it_with_one_sentence(relay: Relay, listen: Listen, status: int) -> None:
    async def main() -> None:
        async with relay.serve(Session.welcome, refuse=lambda _: response(status)):
            with pytest.raises(Hopeless, match="MACHINE_KEY") as why:
                await asyncio.wait_for(listen(), 10)
        assert MACHINE_KEY not in str(why.value)
        assert len(relay.requests) == 1

    run(main())


@pytest.mark.parametrize("status", [200, 204, 301, 302, 307, 400, 404, 407, 426, 429, 500, 502, 503])
def test_every_other_answer_is_tried_again(relay: Relay, listen: Listen, status: int) -> None:
    async def main() -> None:
        def refuse(_: Request) -> Response | None:
            return response(status, Location="http://127.0.0.1:9/") if len(relay.requests) < 3 else None

        async with relay.serve(Session.welcome, refuse=refuse):
            task = listen()
            await until(lambda: relay.sessions)
            await end(task)
        assert len(relay.requests) >= 3

    run(main())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_the_key_goes_nowhere_else(
    relay: Relay, listen: Listen, status: int
) -> None:
    async def main() -> None:
        elsewhere = Relay()

        async with elsewhere.serve(Session.welcome):
            refuse = lambda _: response(status, Location=f"ws://127.0.0.1:{elsewhere.port}/ws")  # noqa: E731
            async with relay.serve(Session.welcome, refuse=refuse):
                task = listen()
                await until(lambda: len(relay.requests) >= 3)
                await end(task)
        assert elsewhere.requests == []

    run(main())


def test_it_waits_for_a_relay_that_is_not_there_yet(relay: Relay, listen: Listen) -> None:
    async def main() -> None:
        async with relay.serve(Session.welcome):
            pass
        relay.sessions = 0
        task = listen()
        await asyncio.sleep(0.05)
        assert not task.done()
        await end(task)

    run(main())


def test_something_else_than_a_relay_is_tried_again(relay: Relay, listen: Listen) -> None:
    async def main() -> None:
        tries = 0

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal tries
            tries += 1
            writer.write([b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"\x00\xff" * 100][tries % 4])
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            relay.port = server.sockets[0].getsockname()[1]
            task = listen()
            await until(lambda: tries >= 6)
            assert not task.done()
            await end(task)

    run(main())


NEVER_EXPIRES = """{"type": "webhook", "event": "x", "delivery_id": "d", "timestamp": "2026-03-01T12:00:00Z",
 "payload": {}, "caller": "x", "expires_in": NaN, "attempt": 1}"""
GARBAGE = [
    "", "{", "[]", "null", '{"type": "unknown"}', '{"type": "webhook"}', NEVER_EXPIRES,
    '{"type": "heartbeat_ack", "more": 1}', '{"type": "welcome", "machine": "laptop", "waiting": 0}',
    "[" * 10_000, "x" * (MAX_FRAME_BYTES + 1),
]  # fmt: skip


@pytest.mark.parametrize(
    "garbage", GARBAGE, ids=lambda text: text[:30] if len(text) < 5_000 else f"{len(text)} characters"
)
def test_a_frame_that_is_none_ends_the_session_and_not_the_listener(
    relay: Relay, listen: Listen, inbox: Inbox, garbage: str
) -> None:
    async def main() -> None:
        async def bad(session: Session) -> None:
            await session.welcome()
            await session.say(garbage)
            await session.is_closed()

        async def good(session: Session) -> None:
            await session.welcome()
            await session.webhook(1)
            await session.is_closed()

        async with relay.serve(bad, good):
            task = listen()
            await until(lambda: inbox.taken)
            await end(task)
        assert relay.sessions == 2

    run(main())


@pytest.mark.parametrize("first", ['{"type": "heartbeat_ack"}', "{", None])
def test_a_relay_that_does_not_say_welcome_is_left(
    relay: Relay, listen: Listen, monkeypatch: pytest.MonkeyPatch, first: str | None
) -> None:
    monkeypatch.setattr(client, "ANSWER_S", 0.2)

    async def talk(session: Session) -> None:
        await session.hear()
        if first:
            await session.say(first)
        await session.is_closed()

    comes_again(relay, listen, talk)


def test_a_relay_of_another_protocol_is_left_with_the_sentence_that_both_must_be_updated(
    relay: Relay, listen: Listen, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk(session: Session) -> None:
        await session.hear()
        await session.say({"type": "welcome", "protocol": 2, "name": "laptop", "what": "is not known"})
        await session.is_closed()

    comes_again(relay, listen, talk)
    assert "the relay speaks protocol 2 and the machine 1; update both sides" in caplog.text
    assert ("laptop", True) not in inbox.links


def test_the_largest_frame_that_the_relay_sends_is_taken(relay: Relay, listen: Listen, inbox: Inbox) -> None:
    async def main() -> None:
        async def talk(session: Session) -> None:
            await session.welcome()
            await session.webhook(1, payload={"text": "x" * (MAX_FRAME_BYTES - 1_000)})
            await session.is_closed()

        async with relay.serve(talk):
            task = listen()
            await until(lambda: inbox.taken)
            await end(task)

    run(main())


def test_heartbeats_are_sent_and_an_answered_one_keeps_the_session(
    relay: Relay, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "HEARTBEAT_S", 0.02)

    async def main() -> None:
        beats = 0

        async def talk(session: Session) -> None:
            nonlocal beats
            await session.welcome()
            while True:
                frame = await session.hear()
                assert frame["type"] == "heartbeat"
                await session.say({"type": "heartbeat_ack"})
                beats += 1

        async with relay.serve(talk):
            task = listen()
            await until(lambda: beats >= 5)
            assert relay.sessions == 1
            await end(task)

    run(main())


def test_it_says_so_when_the_worker_goes_and_when_something_has_to_wait(
    relay: Relay, listen: Listen, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "ANNOUNCE_S", 0.01)

    async def main() -> None:
        done = asyncio.Event()

        async def talk(session: Session) -> None:
            await session.welcome()
            for there, queued in ((False, 0), (True, 0), (True, 2), (True, 0)):
                inbox.has_worker, inbox.queued = there, queued
                news = await session.hear()
                assert (news["type"], news["worker"], news["queued"]) == ("heartbeat", there, queued)
            done.set()
            await session.hear()

        async with relay.serve(talk):
            task = listen()
            await done.wait()
            await end(task)

    run(main())


def test_it_hands_in_which_results_callers_were_given(
    relay: Relay, listen: Listen, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "HEARTBEAT_S", 0.02)

    async def main() -> None:
        async def talk(session: Session) -> None:
            await session.welcome()
            while True:
                await session.hear()
                given = {"task_id": "over", "attempt": 1, "ago_s": 0.5}
                await session.say({"type": "heartbeat_ack", "fetched": [given]})

        async with relay.serve(talk):
            task = listen()
            await until(lambda: "over" in inbox.fetched)
            await end(task)

    run(main())


def test_it_announces_what_is_here_and_announces_it_again_when_that_changes(
    relay: Relay, listen: Listen, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "ANNOUNCE_S", 0.01)
    garden = AnnouncedProject(name="garden", git="read", shell="off", claude=[])
    inbox.told = Announced(projects=[garden], actions=[COUNT])

    async def main() -> None:
        done = asyncio.Event()

        async def talk(session: Session) -> None:
            hello = await session.welcome()
            assert hello["projects"] == [garden.model_dump()]
            assert hello["actions"] == [COUNT.model_dump()]
            changed = garden.model_copy(update={"git": "write"})
            inbox.told = Announced(projects=[changed], actions=[COUNT])
            news = await session.hear()
            assert (news["type"], news["projects"][0]["git"]) == ("announcement", "write")
            assert news["actions"] == hello["actions"]
            assert (hello["agents"], news["agents"]) == ([], [])
            agent = Agent(name="claude_code", version="2.1.331", logged_in=True)
            inbox.told = Announced(projects=[changed], actions=[COUNT], agents=[agent])
            news = await session.hear()
            assert (news["agents"][0]["version"], len(news["projects"])) == ("2.1.331", 1)
            done.set()
            # Nothing changes, so nothing more is said.
            while True:
                assert (await session.hear())["type"] != "announcement"

        async with relay.serve(talk):
            task = listen()
            await asyncio.wait_for(done.wait(), 10)
            await end(task)

    run(main())


def test_an_unanswered_heartbeat_makes_it_connect_again(
    relay: Relay, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(client, "ANSWER_S", 0.1)

    async def talk(session: Session) -> None:
        await session.welcome()
        assert (await session.hear())["type"] == "heartbeat"
        await session.is_closed()

    comes_again(relay, listen, talk)


@pytest.mark.parametrize("fault", [OSError(24, "Too many open files"), KeyError("a fault of ours")])
def test_a_session_that_cannot_tell_that_it_lives_any_more_is_begun_anew(
    relay: Relay, inbox: Inbox, listen: Listen, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    monkeypatch.setattr(client, "HEARTBEAT_S", 0.05)
    faults = [fault]

    def worker_runs() -> bool:
        if faults:
            raise faults.pop()
        return True

    monkeypatch.setattr(inbox, "worker_runs", worker_runs)

    async def main() -> None:
        heard: list[str] = []

        async def talk(session: Session) -> None:
            await session.welcome()
            heard.append((await session.hear())["type"])
            await session.is_closed()

        async with relay.serve(talk):
            task = listen()
            await until(lambda: "heartbeat" in heard)
            assert relay.sessions == 2
            await end(task)

    run(main())


def test_a_newer_session_with_the_same_key_ends_this_one_when_it_comes_again(
    relay: Relay, listen: Listen, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(endings, "RIVAL_PAUSE_S", 0.3)

    async def main() -> None:
        ends: list[float] = []

        async def talk(session: Session) -> None:
            ends.append(time.monotonic())
            await session.welcome()
            await session.connection.close(4409, "newer")

        async with relay.serve(talk):
            with pytest.raises(Hopeless, match="Another listener"):
                await asyncio.wait_for(listen(), 10)
        assert relay.sessions == 2
        assert ends[1] - ends[0] >= 0.3, "it leaves the relay to the other one for a while"

    run(main())
    assert "another connection with this machine's key took its place" in caplog.text


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (ConnectionClosedError(Close(1013, "the relay cannot store anything now"), Close(1013, ""), True),
         "the relay cannot store anything now"),
        (ConnectionClosedError(Close(1012, ""), Close(1012, ""), True), "the relay restarts"),
        (ConnectionClosedError(Close(4999, ""), None), "the relay ended the session with the code 4999"),
        (ConnectionClosedError(None, None), "the line was cut"),
        (ConnectionClosedError(None, Close(1011, "keepalive ping timeout")),
         "the line is dead, keepalive ping timeout"),
        (socket.gaierror(socket.EAI_NONAME, "x"),
         "the name relay.example.invalid is not known; look at RELAY_SERVER_URL"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "the name relay.example.invalid cannot be looked up now"),
        (ssl.SSLError(1, "expired"), "no safe line to it (expired)"),
        (ConnectionRefusedError(111, "x"), "Connection refused"),
        (TimeoutError("timed out during opening handshake"), "timed out during opening handshake"),
        (TimeoutError(), "no answer came in time"),
    ],
)  # fmt: skip
def test_why_a_session_ended_is_said_in_plain_words(problem: Exception, said: str) -> None:
    assert endings.explain(problem, "https://relay.example.invalid") == said


def test_a_session_that_was_replaced_once_in_a_while_is_no_other_listener() -> None:
    clock = iter([0.0, endings.RIVAL_AGAIN_S, 2 * endings.RIVAL_AGAIN_S - 1])
    rivals = endings.Rivals(lambda: next(clock))
    replaced = ConnectionClosedError(Close(4409, "newer"), None)
    assert rivals.pause(ConnectionClosedError(Close(4408, "late"), None)) == 0
    assert rivals.pause(ConnectionClosedError(None, None)) == 0
    assert rivals.pause(replaced) == endings.RIVAL_PAUSE_S
    assert rivals.pause(replaced) == endings.RIVAL_PAUSE_S
    with pytest.raises(Hopeless):
        rivals.pause(replaced)


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 4400, 4408])
def test_after_every_other_end_it_connects_again(relay: Relay, listen: Listen, code: int) -> None:
    async def main() -> None:
        async def talk(session: Session) -> None:
            await session.welcome()
            await session.connection.close(code, "because")

        async with relay.serve(talk):
            task = listen()
            await until(lambda: relay.sessions >= 3)
            assert not task.done()
            await end(task)

    run(main())


def test_a_line_that_is_cut_is_opened_again(relay: Relay, listen: Listen, inbox: Inbox) -> None:
    async def main() -> None:
        async def cut(session: Session) -> None:
            await session.welcome()
            session.connection.transport.abort()

        async def good(session: Session) -> None:
            await session.welcome()
            await session.webhook(1)
            await session.is_closed()

        async with relay.serve(cut, good):
            task = listen()
            await until(lambda: inbox.taken)
            await end(task)

    run(main())
    # People are told each time, so that the viewer can say since when nothing comes.
    assert [is_open for _, is_open in inbox.links] == [False, True, False, True]


def test_it_ends_at_once_when_it_is_cancelled_also_while_it_waits(relay: Relay, listen: Listen) -> None:
    async def main() -> None:
        async with relay.serve(Session.is_closed):
            task = listen()
            await until(lambda: relay.sessions)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, 5)

    run(main())


def test_an_inbox_that_cannot_be_opened_is_for_whoever_started_it(relay: Relay) -> None:
    async def main() -> None:
        def broken() -> Inbox:
            raise ValueError("no records")

        settings = client.Settings.read({"MACHINE_KEY": MACHINE_KEY})
        with pytest.raises(ValueError, match="no records"):
            await client.Client(settings, broken).run()

    run(main())


def test_what_it_says_in_the_log_holds_no_key_and_no_payload(
    relay: Relay, listen: Listen, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="listener")
    inbox.fault = lambda one: Unacceptable("no") if one.delivery_id == "d2" else None

    async def talk(session: Session) -> None:
        await session.welcome()
        for number in (1, 2):
            await session.webhook(number, payload={"text": "private words"})
            await session.hear()
        await session.connection.close(1011, "bye")

    comes_again(relay, listen, talk)
    assert "d2" in caplog.text
    assert "private words" not in caplog.text
    assert MACHINE_KEY not in caplog.text
