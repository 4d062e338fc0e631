"""`WS /ws`: one machine's session. Sends what waits, hears what was taken."""

from __future__ import annotations

import asyncio
import logging

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from pydantic import TypeAdapter, ValidationError

from relay import store
from relay.delivery import Window, envelope
from relay.errors import Problem
from relay.hub import Relay, Session
from relay.protocol import (
    Ack,
    CloseCode,
    Heartbeat,
    HeartbeatAck,
    Hello,
    MachineFrame,
    Nack,
    Welcome,
    explain,
)
from relay.strict_json import BadJSON, parse_json

log = logging.getLogger(__name__)

FRAME: TypeAdapter[MachineFrame] = TypeAdapter(MachineFrame)
HELLO_S = 5.0
SEND_S = 15.0
"""A machine that takes no bytes for so long is gone, whatever its socket says."""


class Goodbye(Exception):
    """The relay ends the session, with a close code and a sentence."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


def routes(relay: Relay) -> APIRouter:
    """The WebSocket endpoint."""
    router = APIRouter()

    @router.websocket("/ws")
    async def machine_session(websocket: WebSocket) -> None:
        try:
            machine = relay.doors.machine(websocket.headers)
        except Problem as problem:
            # Refused before the upgrade, so a wrong key never becomes a connection.
            await websocket.send_denial_response(problem.response())
            return
        await websocket.accept()
        await _Talk(relay, websocket, relay.hub.join(machine)).run()

    return router


class _Talk:
    """Both halves of one session: a reader and a sender that share a window."""

    def __init__(self, relay: Relay, websocket: WebSocket, session: Session) -> None:
        self._relay = relay
        self._websocket = websocket
        self._session = session
        self._window = Window()

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
        except Goodbye as goodbye:
            log.warning("Session of %s ended: %s.", machine, goodbye)
            await self._close(goodbye)
        except (WebSocketDisconnect, RuntimeError, TimeoutError):
            # Starlette raises RuntimeError when the peer went away between two awaits.
            log.info("%s disconnected.", machine)
        finally:
            self._relay.hub.leave(self._session)

    async def _close(self, goodbye: Goodbye) -> None:
        try:
            await self._websocket.close(goodbye.code, str(goodbye)[:120])
        except RuntimeError:
            log.debug("The machine had closed the session already.")

    async def _greet(self) -> None:
        try:
            hello = await asyncio.wait_for(self._receive(), HELLO_S)
        except TimeoutError:
            raise Goodbye(CloseCode.PROTOCOL_ERROR, f"no hello came within {HELLO_S:.0f} seconds") from None
        if not isinstance(hello, Hello):
            raise Goodbye(CloseCode.PROTOCOL_ERROR, f"the first frame must be hello, not {hello.type}")
        waiting = await self._relay.writer.run(store.count_waiting, self._session.machine)
        log.info("%s connected (version %s); %d waiting.", self._session.machine, hello.version, waiting)
        await self._say(Welcome(machine=self._session.machine, waiting=waiting).model_dump_json())

    async def _receive(self) -> MachineFrame:
        try:
            text = await self._websocket.receive_text()
        except KeyError:
            # Starlette's way to say that the frame holds bytes.
            raise Goodbye(CloseCode.PROTOCOL_ERROR, "frames are JSON text, not bytes") from None
        self._relay.hub.heard(self._session)
        try:
            return FRAME.validate_python(parse_json(text))
        except BadJSON as problem:
            raise Goodbye(CloseCode.PROTOCOL_ERROR, f"a frame cannot be read: {problem}") from None
        except ValidationError as problem:
            raise Goodbye(CloseCode.PROTOCOL_ERROR, f"a frame is not valid: {explain(problem)}") from None

    async def _say(self, text: str) -> None:
        await asyncio.wait_for(self._websocket.send_text(text), SEND_S)

    async def _read(self) -> None:
        while True:
            match await self._receive():
                case Ack() as ack:
                    await self._take(ack.delivery_ids)
                case Nack() as nack:
                    await self._refuse(nack)
                case Heartbeat():
                    await self._say(HeartbeatAck().model_dump_json())
                case Hello():
                    raise Goodbye(CloseCode.PROTOCOL_ERROR, "hello came twice")

    async def _take(self, delivery_ids: list[str]) -> None:
        if taken := self._window.answered(delivery_ids):
            await self._relay.writer.run(store.acknowledge, self._session.machine, taken)
            self._session.work.set()

    async def _refuse(self, nack: Nack) -> None:
        if self._window.answered([nack.delivery_id]):
            machine, now = self._session.machine, self._relay.now()
            task_id = await self._relay.writer.run(store.refuse, machine, nack.delivery_id, nack.error, now)
            if task_id is not None:
                self._relay.hub.tell(task_id)
            self._session.work.set()

    async def _send(self) -> None:
        session, window = self._session, self._window
        while True:
            # Cleared before the look and always, also with a full window: an answer sets it again.
            session.work.clear()
            if window.room:
                found = await self._relay.writer.run(
                    store.next_deliveries, session.machine, skip=window.in_flight, limit=window.room
                )
                for delivery in found:
                    window.sent(delivery.delivery_id, delivery.seq)
                    await self._say(envelope(delivery, self._relay.now()))
            await session.work.wait()

    async def _superseded(self) -> None:
        await self._session.superseded.wait()
        raise Goodbye(CloseCode.SUPERSEDED, "the same machine key opened a newer session")
