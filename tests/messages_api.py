"""A stand-in for the Messages API, as much of it as the real CLI needs to run without a network.

The CLI reaches it through ANTHROPIC_BASE_URL in its owner's environment. It plays a list of answers,
one for each request, and remembers the requests. https://docs.anthropic.com/en/api/messages-streaming
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Answer:
    """What the model says once: text, or tools that it wants to use, or trouble."""

    text: str = ""
    tools: tuple[tuple[str, dict[str, Any]], ...] = ()
    status: int = 200
    """Another one is an error of the API."""
    error: str = "api_error"
    message: str = "Trouble, made for a test"
    cut: bool = False
    """The connection ends in the middle of a stream."""
    stall: bool = False
    """The stream begins and never goes on."""
    output_tokens: int = 20
    """What the answer is charged for."""


def says(text: str, **more: Any) -> Answer:
    return Answer(text=text, **more)


def uses(name: str, **params: Any) -> Answer:
    """The model wants to use one tool."""
    return Answer(tools=((name, params),))


@dataclass
class Api:
    """The server. `with Api() as api: api.plays(says("Hello"))`."""

    answers: list[Answer] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"api": self}))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def plays(self, *answers: Answer) -> None:
        """Answer the next requests with these; the last of them stays."""
        self.answers, self.requests = list(answers), []

    def texts(self, number: int = -1) -> str:
        """Everything that stands in the messages of a request, as one text."""
        return json.dumps(self.requests[number]["messages"], ensure_ascii=False)

    def take(self, request: dict[str, Any], key: str) -> tuple[int, Answer]:
        with self._lock:
            self.requests.append(request)
            self.keys.append(key)
            answer = self.answers.pop(0) if len(self.answers) > 1 else (self.answers or [Answer("Done.")])[0]
            return len(self.requests), answer


def _blocks(number: int, answer: Answer) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = [{"type": "text", "text": answer.text}] if answer.text else []
    for index, (name, params) in enumerate(answer.tools):
        blocks.append({"type": "tool_use", "id": f"toolu_{number}_{index}", "name": name, "input": params})
    return blocks


def _message(number: int, answer: Answer, model: str) -> dict[str, Any]:
    return {
        "id": f"msg_{number}", "type": "message", "role": "assistant", "model": model,
        "content": _blocks(number, answer), "stop_sequence": None,
        "stop_reason": "tool_use" if answer.tools else "end_turn",
        "usage": {"input_tokens": 10, "output_tokens": answer.output_tokens},
    }  # fmt: skip


def _events(number: int, answer: Answer, model: str) -> Iterator[dict[str, Any]]:
    message = _message(number, answer, model)
    yield {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}
    for index, block in enumerate(message["content"]):
        if block["type"] == "text":
            empty, delta = {"text": ""}, {"type": "text_delta", "text": block["text"]}
        else:
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
            empty = {"input": {}}
        yield {"type": "content_block_start", "index": index, "content_block": {**block, **empty}}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ended = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": {"output_tokens": answer.output_tokens}}
    yield {"type": "message_stop"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: Api

    def do_HEAD(self) -> None:
        self._send(200, "text/plain", b"")

    def do_GET(self) -> None:
        self._send(404, "application/json", b"{}")

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "/v1/messages" not in self.path or "count_tokens" in self.path:
            self._send(404, "application/json", b"{}")
            return
        request = json.loads(raw)
        self.api.paths.append(self.path.partition("?")[0])
        number, answer = self.api.take(request, self.headers.get("x-api-key") or "")
        if answer.status != 200:
            error = {"type": "error", "error": {"type": answer.error, "message": answer.message}}
            self._send(answer.status, "application/json", json.dumps(error).encode())
        elif request.get("stream"):
            self._stream(number, answer, request["model"])
        else:
            whole = _message(number, answer, request["model"])
            self._send(200, "application/json", json.dumps(whole).encode())

    def _stream(self, number: int, answer: Answer, model: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for place, event in enumerate(_events(number, answer, model)):
            if place == 2 and answer.stall:
                self.api.closing.wait(120)
            if place == 2 and (answer.cut or answer.stall):
                return
            self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
            self.wfile.flush()

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        with suppress(ConnectionError, TimeoutError):  # The CLI was ended in the middle.
            super().handle()
