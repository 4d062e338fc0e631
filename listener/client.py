"""One session after another with the relay: receive, hand to the inbox, acknowledge."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from listener import endings
from listener.backoff import Backoff
from listener.door import Inbox
from listener.endings import Broken, Rivals
from listener.frames import answers, heartbeat, read_welcome, receive
from listener.settings import Settings
from listener.sleep import LOOK_S, SleepDetector
from relay.announced import Announced
from relay.protocol import (
    HEARTBEAT_S,
    MAX_FRAME_BYTES,
    Ack,
    Announcement,
    Heartbeat,
    HeartbeatAck,
    Hello,
    Nack,
    RelayFrame,
    Webhook,
    Welcome,
)
from relay.version import VERSION
from worker.inbox import CannotOpen, Unavailable

T = TypeVar("T")

log = logging.getLogger("listener")

ANSWER_S = 10.0
"""A relay that does not answer hello or a heartbeat within this time is gone."""
ANNOUNCE_S = 2.0
"""How often it looks whether what may be asked for here has changed, and why something waits."""
AWAKE_S = 5.0
"""After a sleep the line is probably gone; this long it may prove the opposite."""


class Client:
    """Keeps a session with the relay open for as long as it runs."""

    def __init__(
        self, settings: Settings, inbox: Callable[[], Inbox], rand: Callable[[], float] = random.random
    ) -> None:
        """*inbox* opens the inbox; it is called once, on the only thread that uses it."""
        self._settings = settings
        self._open_inbox = inbox
        self._backoff = Backoff(rand)
        self._rivals = Rivals(time.monotonic)
        # One thread, so commands are written in the order in which they came, while the event
        # loop goes on answering pings.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="inbox")
        self._inbox: Inbox
        self._heard = asyncio.Event()
        self._announced: Announced
        # As the relay believes it; a new session begins with the best news.
        self._sign = Heartbeat().sign
        self._told = False

    async def run(self) -> None:
        """Connect, serve, and connect again, until cancelled. Raises Hopeless."""
        self._inbox = await self._on_thread(self._open_inbox)
        await self._tell(self._settings.machine_name, is_open=False)
        while True:
            started, rest = time.monotonic(), 0.0
            try:
                await self._session()
            except InvalidStatus as refusal:
                why = endings.explain_refusal(refusal, self._settings.relay_address)
            except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed, Broken) as problem:
                why = endings.explain(problem, self._settings.relay_address)
                rest = self._rivals.pause(problem)
            except CannotOpen:
                raise
            except Exception:
                # The edge of the loop: a fault of ours must not end the listener.
                log.exception("A session met a fault of ours.")
                why = "a fault of ours"
            pause = max(rest, self._backoff.pause(time.monotonic() - started))
            log.warning("Not connected to the relay (%s); trying again in %.1f s.", why, pause)
            if self._told:
                await self._tell(self._settings.machine_name, is_open=False)
            await asyncio.sleep(pause)

    async def _session(self) -> None:
        async with _Connect(
            self._settings.websocket_url,
            additional_headers={"Authorization": f"Bearer {self._settings.own_key}"},
            # Pings find a dead line within 20 seconds; more patience would be a silent listener.
            open_timeout=ANSWER_S,
            ping_interval=10,
            ping_timeout=10,
            close_timeout=1,
            max_size=MAX_FRAME_BYTES,
            compression=None,
        ) as connection:
            await self._greet(connection)
            parts = (self._listen, self._beat, self._watch_sleep, self._watch_itself)
            tasks = [asyncio.create_task(part(connection)) for part in parts]
            # Whichever fails first ends the session: without its heartbeat it would look alive and be dead.
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()

    async def _greet(self, connection: ClientConnection) -> None:
        self._sign = Heartbeat().sign
        self._announced = told = await self._on_thread(self._inbox.announced)
        name = self._settings.machine_name
        hello = Hello(
            machine=name, version=VERSION, projects=told.projects, actions=told.actions, agents=told.agents
        )
        await connection.send(hello.model_dump_json())
        async with asyncio.timeout(ANSWER_S):
            welcome = read_welcome(await connection.recv())
        log.info("Connected to the relay as %s; %d waiting.", welcome.machine, welcome.waiting)
        await self._tell(welcome.machine, is_open=True)

    async def _listen(self, connection: ClientConnection) -> None:
        while True:
            await self._handle(connection, await receive(connection))

    async def _handle(self, connection: ClientConnection, frames: list[RelayFrame]) -> None:
        webhooks = [frame for frame in frames if isinstance(frame, Webhook)]
        for beat in (frame for frame in frames if isinstance(frame, HeartbeatAck)):
            self._heard.set()
            if beat.fetched:
                await self._on_thread(partial(self._inbox.note_fetched, beat.fetched))
        if any(isinstance(frame, Welcome) for frame in frames):
            raise Broken("the relay said welcome twice")
        if webhooks:
            for answer in await self._on_thread(lambda: self._take(webhooks)):
                await connection.send(answer.model_dump_json())

    def _take(self, webhooks: list[Webhook]) -> list[Ack | Nack]:
        try:
            refusals = self._inbox.accept(webhooks)
        except Unavailable as problem:
            # Not acknowledged, so the relay keeps them and sends them again in the next session.
            raise Broken(str(problem)) from None
        except Exception:
            # The edge of the loop: a fault of ours must neither end the listener nor hold up the
            # others. The one that meets it stays unanswered, and the relay gives it up in the end.
            if len(webhooks) > 1:
                return [answer for webhook in webhooks for answer in self._take([webhook])]
            log.exception("Delivery %s met a fault of ours.", webhooks[0].delivery_id)
            return []
        return answers(webhooks, refusals)

    async def _beat(self, connection: ClientConnection) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            self._heard.clear()
            try:
                await self._tell_load(connection, only_news=False)
                async with asyncio.timeout(ANSWER_S):
                    await self._heard.wait()
            except TimeoutError:
                # An unanswered heartbeat means: connected, and dead. Say so and start over.
                connection.transport.abort()
                raise Broken("the relay did not answer a heartbeat") from None

    async def _tell_load(self, connection: ClientConnection, *, only_news: bool) -> None:
        beat = await self._on_thread(lambda: heartbeat(self._inbox))
        if beat.sign != self._sign or not only_news:
            self._sign = beat.sign
            await connection.send(beat.model_dump_json())

    async def _watch_sleep(self, connection: ClientConnection) -> None:
        detector = SleepDetector()
        while True:
            await asyncio.sleep(LOOK_S)
            if not detector.woke_up():
                continue
            log.info("The machine woke up; asking whether the relay is still there.")
            self._backoff.reset()
            try:
                async with asyncio.timeout(AWAKE_S):
                    await (await connection.ping())
            except TimeoutError:
                connection.transport.abort()
                raise Broken("the relay was gone when the machine woke up") from None

    async def _watch_itself(self, connection: ClientConnection) -> None:
        while True:
            await asyncio.sleep(ANNOUNCE_S)
            told = await self._on_thread(self._inbox.announced)
            if told != self._announced:
                self._announced = told
                await connection.send(Announcement.model_validate(told.model_dump()).model_dump_json())
            # Whoever asks meanwhile shall not hear that it is about to start.
            await self._tell_load(connection, only_news=True)

    async def _tell(self, machine: str, *, is_open: bool) -> None:
        self._told = is_open
        await self._on_thread(lambda: self._inbox.tell_link(machine, VERSION, is_open=is_open))

    async def _on_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


class _Connect(connect):
    """Follows no redirect: the key must not travel to another host, and a captive portal is no relay."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc
