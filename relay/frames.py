"""What a machine says in its session, one frame at a time, and how the relay ends one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import WebSocketDisconnect
from pydantic import TypeAdapter, ValidationError

from relay.mistakes import explain
from relay.protocol import CloseCode, MachineFrame
from relay.strict_json import BadJSON, parse_json
from relay.version import PROTOCOL, discord

FRAME: TypeAdapter[MachineFrame] = TypeAdapter(MachineFrame)


class Goodbye(Exception):
    """The relay ends the session, with a close code and a sentence."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


def read(text: str) -> MachineFrame:
    """The frame in *text*. Raises Goodbye for anything that is none of ours."""
    try:
        frame = parse_json(text)
        # Before its fields: those of a hello in another protocol are others.
        if why := discord(relay=PROTOCOL, machine=frame.get("protocol", PROTOCOL)):
            raise Goodbye(CloseCode.PROTOCOL_ERROR, why)
        return FRAME.validate_python(frame)
    except BadJSON as problem:
        raise Goodbye(CloseCode.PROTOCOL_ERROR, f"a frame cannot be read: {problem}") from None
    except ValidationError as problem:
        raise Goodbye(CloseCode.PROTOCOL_ERROR, f"a frame is not valid: {explain(problem)}") from None


@contextmanager
def peer_may_be_gone() -> Iterator[None]:
    """For receiving and sending only: elsewhere the same exceptions are faults of ours."""
    try:
        yield
    except (RuntimeError, TimeoutError):
        # Starlette raises RuntimeError when the peer went away between two awaits.
        raise WebSocketDisconnect from None
