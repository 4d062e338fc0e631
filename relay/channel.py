"""`WS /ws`: one machine's session. Sends what waits, hears what was taken."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from relay import endings, store
from relay.announced import Announced
from relay.delivery import ACK_S, ENVELOPE_BYTES, Window, envelope
from relay.errors import Problem
from relay.frames import Goodbye, peer_may_be_gone, read
from relay.hub import Relay, Session
from relay.protocol import (
    MAX_FRAME_BYTES,
    Ack,
    Announcement,
    CloseCode,
    Heartbeat,
    HeartbeatAck,
    Hello,
    MachineFrame,
    Nack,
    Welcome,
)
from relay.writer import Unavailable

log = logging.getLogger(__name__)

HELLO_S = 5.0
INTERNAL_ERROR, TRY_AGAIN_LATER = 1011, 1013  # of the WebSocket close code registry
SEND_S = 15.0
"""A machine that takes no bytes for so long is gone, whatever its socket says."""


def routes(relay: Relay) -> APIRouter:
    """The WebSocket endpoint."""
    router = APIRouter()

    @router.websocket("/ws")
    async def machine_session(websocket: WebSocket) -> None:
        try:
            machine = relay.doors.machine(websocket)
        except Problem as problem:
            # Refused before the upgrade, so a wrong key never becomes a connection.
            await websocket.send_denial_response(problem.response())
            return
        await websocket.accept()
        await _Talk(relay, websocket, Session(machine)).run()

    return router


class _Talk:
    """Both halves of one session: a reader and a sender that share a window."""

    def __init__(self, relay: Relay, websocket: WebSocket, session: Session) -> None:
        self._relay = relay
        self._websocket = websocket
        self._session = session
        self._window = Window()
        self._loop = asyncio.get_running_loop()
        self._unsent: list[int] = []
        self._version = ""
        self._most_bytes = MAX_FRAME_BYTES

    async def run(self) -> None:
        machine = self._session.machine
        try:
            await self._greet()
            # Whichever half ends first ends the session; a TaskGroup would wait for the other.
            halves = [asyncio.create_task(half()) for half in (self._read, self._send, self._superseded)]
            done, rest = await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
            for half in rest:
                half.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            for half in done:
                half.result()
        except Unavailable as problem:
            # What could not be written down was not taken; the machine comes again and gets it again.
            log.warning("Session of %s ended: %s.", machine, problem)
            await self._close(Goodbye(TRY_AGAIN_LATER, "the relay cannot store anything now"))
        except Goodbye as goodbye:
            log.warning("Session of %s ended: %s.", machine, goodbye)
            await self._close(goodbye)
        except WebSocketDisconnect:
            log.info("%s disconnected%s.", machine, "" if self._version else " before it had said hello")
        except Exception:
            # The edge of the session: a fault of ours must be found in the log, and the machine comes again.
            log.exception("Session of %s met a fault of ours", machine)
            await self._close(Goodbye(INTERNAL_ERROR, "the relay made a mistake; its log has it"))
        finally:
            self._relay.hub.leave(self._session)
            await self._settle_up()

    async def _close(self, goodbye: Goodbye) -> None:
        try:
            await self._websocket.close(goodbye.code, str(goodbye)[:120])
        except (WebSocketDisconnect, RuntimeError):
            log.debug("The machine had closed the session already.")

    async def _greet(self) -> None:
        try:
            async with asyncio.timeout(HELLO_S):
                hello = await self._receive()
        except TimeoutError:
            raise Goodbye(CloseCode.PROTOCOL_ERROR, f"no hello came within {HELLO_S:.0f} seconds") from None
        if not isinstance(hello, Hello):
            raise Goodbye(CloseCode.PROTOCOL_ERROR, f"the first frame must be hello, not {hello.type}")
        self._version, self._most_bytes = hello.version, hello.max_message - ENVELOPE_BYTES
        # Not before: an upgrade that was long on its way, with nobody behind it any more, must not end
        # the session that works.
        self._relay.hub.join(self._session)
        await self._announce(hello)
        waiting = await self._settle()
        log.info("%s connected (version %s); %d waiting.", self._session.machine, hello.version, waiting)
        await self._say(Welcome(machine=self._session.machine, waiting=waiting).model_dump_json())

    async def _announce(self, news: Hello | Announcement) -> None:
        machine, self._session.agents = self._session.machine, news.agents
        if news.projects is None:
            return  # It does not say; what it said before stands.
        told = Announced(projects=news.projects, actions=news.actions, agents=news.agents)
        await self._relay.writer.run(store.announce, machine, told)
        self._relay.hub.announced[machine] = told

    async def _settle(self) -> int:
        """End what can never be sent. Returns how much waits then."""
        machine, writer = self._session.machine, self._relay.writer
        await writer.run(store.seen, machine, self._version, self._relay.now())
        await self._end(endings.give_up, self._relay.hub.hopeless(machine, endings.MAX_SENDS))
        await self._end(endings.drop_large, self._most_bytes)
        return await writer.run(store.count_waiting, machine)

    async def _end(self, ending: Callable[..., list[str]], *facts: object) -> None:
        """Run one of `relay.endings`, and tell those who wait for the tasks that ended by it."""
        for task_id in await self._relay.writer.run(ending, self._session.machine, *facts, self._relay.now()):
            self._relay.hub.tell(task_id)

    async def _receive(self) -> MachineFrame:
        try:
            with peer_may_be_gone():
                text = await self._websocket.receive_text()
        except KeyError:
            # Starlette's way to say that the frame holds bytes.
            raise Goodbye(CloseCode.PROTOCOL_ERROR, "frames are JSON text, not bytes") from None
        self._relay.hub.heard(self._session)
        return read(text)

    async def _say(self, text: str) -> None:
        # Not wait_for: in Python 3.11 it swallows a cancellation that comes as its work is done, and
        # the sender of a session that is over would go on.
        with peer_may_be_gone():
            async with asyncio.timeout(SEND_S):
                await self._websocket.send_text(text)

    async def _read(self) -> None:
        while True:
            match await self._receive():
                case Ack() as ack:
                    await self._take(ack.delivery_ids)
                case Nack() as nack:
                    await self._refuse(nack)
                case Heartbeat() as beat:
                    self._window.alive(self._loop.time())
                    self._session.busy, self._session.queued = beat.busy, beat.queued
                    self._session.worker = beat.worker
                    fetched = self._relay.hub.take_given_out(self._session.machine)
                    await self._say(HeartbeatAck(fetched=fetched).model_dump_json())
                    now = self._relay.now()
                    await self._relay.writer.run(store.seen, self._session.machine, self._version, now)
                case Announcement() as news:
                    await self._announce(news)
                case Hello():
                    raise Goodbye(CloseCode.PROTOCOL_ERROR, "hello came twice")

    async def _take(self, delivery_ids: list[str]) -> None:
        if taken := self._window.answered(delivery_ids):
            self._relay.hub.answered(self._session.machine, taken)
            await self._relay.writer.run(store.acknowledge, self._session.machine, taken)
            self._session.work.set()

    async def _refuse(self, nack: Nack) -> None:
        if taken := self._window.answered([nack.delivery_id]):
            self._relay.hub.answered(self._session.machine, taken)
            await self._end(endings.refuse, nack.delivery_id, nack.error)
            self._session.work.set()

    async def _send(self) -> None:
        session, window = self._session, self._window
        while True:
            # Cleared before the look and always, also with a full window: an answer sets it again.
            session.work.clear()
            if window.room:
                await self._send_what_fits()
            try:
                async with asyncio.timeout_at(window.overdue_at):
                    await session.work.wait()
            except TimeoutError:
                raise Goodbye(
                    CloseCode.ACK_TIMEOUT, f"nothing was acknowledged for {ACK_S:.0f} seconds"
                ) from None

    async def _send_what_fits(self) -> None:
        window, writer = self._window, self._relay.writer
        waiting = await writer.run(
            store.waiting, self._session.machine, skip=window.in_flight, limit=window.room
        )
        if any(size > self._most_bytes for _, size in waiting):
            # What came since the hello: sent, it would end this session and every one after it.
            await self._end(endings.drop_large, self._most_bytes)
            self._session.work.set()
            return
        if chosen := window.fit(waiting):
            await self._load(chosen)
            while self._session.ahead:
                delivery = self._session.ahead.popleft()
                window.sent(delivery.delivery_id, delivery.seq, delivery.size, self._loop.time())
                try:
                    await self._say(envelope(delivery, self._relay.steady()))
                except BaseException:
                    # The server writes all of it at once when the line has room, or nothing.
                    self._unsent.append(delivery.seq)
                    raise

    async def _load(self, chosen: list[int]) -> None:
        try:
            self._session.ahead = deque(await self._relay.writer.run(store.load, chosen))
        except asyncio.CancelledError:
            # The writer does it all the same, and nobody is left to send what it finds.
            self._unsent = chosen
            raise

    async def _settle_up(self) -> None:
        """At the end: what did not leave does not count as sent, and what was passed over counts."""
        self._relay.hub.pass_over(self._session.machine, self._window.passed_over(self._loop.time()))
        if unsent := [*self._unsent, *(one.seq for one in self._session.ahead)]:
            with suppress(Unavailable):
                await self._relay.writer.run(store.not_sent, unsent)

    async def _superseded(self) -> None:
        await self._session.superseded.wait()
        raise Goodbye(CloseCode.SUPERSEDED, "the same machine key opened a newer session")
