"""`make run`: everything on this machine, and then what to do with it.

Prepares keys and policy, starts the Procfile with honcho, waits until the chain is really up,
and prints one block: where the viewer is, and a command to paste.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import threading
import time
from http import HTTPStatus
from pathlib import Path

import urllib3
from honcho.environ import parse_procfile
from honcho.manager import Manager
from honcho.printer import Message, Printer
from pydantic import ValidationError

from relay.mistakes import explain
from worker.policy import Rejected
from worker.policy_file import PolicyFile
from worker.recovery import is_locked
from worker.settings import ChainSettings
from worker.setup import CannotSetUp, check_programs, write_env, write_policy

PATIENCE_S = 30.0
_LINK = re.compile(rb"http\S+/login\?code=\S+")
_STOPPED = re.compile(r"(\w+) stopped \(rc=(-?\d+)\)")
_STOPPED_BY_HAND = {130, 143}


def main() -> None:
    """Start, stay, and end with 0 when stopped by hand; otherwise with one sentence and 1."""
    started = time.monotonic()
    try:
        settings = _set_up()
        _check_ports(settings)
    except ValidationError as problem:
        sys.exit(f"Cannot start: {explain(problem)}. Look at .env and docs/CONFIGURATION.md")
    except CannotSetUp as problem:
        sys.exit(f"Cannot start: {problem}.")
    except (OSError, ValueError) as problem:
        sys.exit(f"Cannot start: .env cannot be read ({problem}).")
    printer = _GreetingPrinter(settings, started)
    manager = Manager(printer)
    environment = _environment()
    for name, command in parse_procfile(Path("Procfile").read_text(encoding="utf-8")).processes.items():
        if name != "relay" or settings.relay_is_here:
            manager.add_process(name, command, env=environment)
    manager.loop()
    if manager.returncode not in _STOPPED_BY_HAND:
        sys.exit(f"\n{printer.why_it_stopped()}\nStart again with: make run")


def _set_up() -> ChainSettings:
    """Write what is missing; what is there says where the rest is."""
    check_programs()
    if write_env(Path(".env")):
        print("Wrote .env.", flush=True)  # noqa: T201 - talking to a person at a terminal
    settings = ChainSettings.read()
    if write_policy(settings.policy_path, Path.cwd()):
        print(f"Wrote {settings.policy_path}.", flush=True)  # noqa: T201 - as above
    return settings


def _environment() -> dict[str, str]:
    """The virtual environment's `python` first, and output line by line."""
    here = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": f"{here}:{os.environ.get('PATH', os.defpath)}", "PYTHONUNBUFFERED": "1"}


def _check_ports(settings: ChainSettings) -> None:
    wanted = [(settings.viewer_host, settings.viewer_port, "VIEWER_PORT")]
    if settings.relay_is_here:
        wanted.append((settings.host, settings.port, "PORT"))
    for host, port, name in wanted:
        try:
            socket.create_server((host, port)).close()
        except OSError as problem:
            raise CannotSetUp(
                f"port {port} on {host} cannot be used ({os.strerror(problem.errno or 0)}); "
                f"stop what uses it, perhaps another make run, or set another {name} in .env"
            ) from None


class _GreetingPrinter(Printer):  # type: ignore[misc]  # honcho has no types
    """honcho's printer, which greets once the chain is up.

    The greeter is a thread, and honcho forks: it may begin only after every process has been
    forked, which is so when the first line arrives here."""

    def __init__(self, settings: ChainSettings, started: float) -> None:
        super().__init__(sys.stdout)
        self._link: list[str] = []
        self._first_to_stop = ("", 0)
        self._said: dict[str, str] = {}
        self._greeter: threading.Thread | None = threading.Thread(
            target=_greet, args=(settings, started, self._link), daemon=True
        )

    def write(self, message: Message) -> None:
        super().write(message)
        sys.stdout.flush()
        if message.name == "system" and (stopped := _STOPPED.match(message.data)):
            if not self._first_to_stop[0]:
                self._first_to_stop = stopped[1], int(stopped[2])
        elif message.name != "system" and (line := message.data.decode(errors="replace").strip()):
            self._said[message.name] = line
        # Who shall be let in is the viewer's business; the greeting only repeats what it said.
        if message.name == "viewer" and (found := _LINK.search(message.data)):
            self._link.append(found[0].decode())
        if self._greeter is not None:
            self._greeter.start()
            self._greeter = None

    def why_it_stopped(self) -> str:
        """Which process ended before the others had to, and by which signal or with which last words."""
        name, returncode = self._first_to_stop
        if returncode < 0:
            return f"The {name} was ended by signal {-returncode}, so all of it was stopped."
        said = f" It said last: {self._said[name]}" if name in self._said else ""
        return f"The {name} ended by itself, so all of it was stopped.{said}"


def _greet(settings: ChainSettings, started: float, link: list[str]) -> None:
    deadline = started + PATIENCE_S
    while missing := missing_parts(settings) or ["the viewer's link"] * (not link):
        if time.monotonic() > deadline:
            print(f"\nNot up after {PATIENCE_S:.0f} seconds: {', '.join(missing)}.\n", flush=True)  # noqa: T201
            return
        time.sleep(0.05)
    print(_greeting(settings, time.monotonic() - started, link[-1]), flush=True)  # noqa: T201


def missing_parts(settings: ChainSettings) -> list[str]:
    """What of the chain cannot be seen working yet; empty when all of it is up."""
    relay = _answer(settings.relay_address)
    is_up = relay is not None and relay.status == HTTPStatus.OK
    connected = relay is not None and is_up and relay.json().get("connected_clients", 0) > 0
    return [
        part
        for part, is_there in (
            ("relay", is_up),
            ("listener", connected),
            ("worker", is_locked(settings.lock_path)),
            # Any answer will do: to the name by which we ask it may want to say no.
            ("viewer", _answer(settings.viewer_address + "/login") is not None),
        )
        if not is_there
    ]


def _answer(url: str) -> urllib3.BaseHTTPResponse | None:
    try:
        return urllib3.request("GET", url, timeout=1, retries=False, redirect=False)
    except urllib3.exceptions.HTTPError:
        return None


def _greeting(settings: ChainSettings, seconds: float, link: str) -> str:
    params: dict[str, object] = {"command": ["git", "status"]}
    try:
        projects = list(PolicyFile(settings.policy_path).current().projects)
        but = ""
    except Rejected as problem:
        projects, but = [], f"  But      {problem}\n"
    if len(projects) > 1:
        # With only one, nothing has to be named.
        params["project"] = projects[0]
    body = json.dumps({"type": "task_command", "data": {"action_type": "git", "params": params}})
    return f"""
ai-webhook is up after {seconds:.1f} seconds. Ctrl-C stops it.

{but}  See      {link}
           (connects this browser, once and within ten minutes; `make login` prints another)
  Try      curl -sS '{settings.relay_address}/webhook?wait=25' \\
             -H 'X-API-Key: {settings.own_api_key}' \\
             -d '{body}'
  Read on  README.md: what you have just exposed, and how to let your phone in
"""


if __name__ == "__main__":
    main()
