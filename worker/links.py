"""The links of the chain as `make doctor` sees them: relay, keys, machine, worker, a real command.

The relay is asked with the real keys, the worker's lock is looked at, the records are only read."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import urllib3

from relay.protocol import COMMAND
from worker import checks, recovery
from worker.away import away
from worker.checks import Door, Finding, Level, ok, problem, warning
from worker.policy import Policy
from worker.settings import ChainSettings

WAIT_S = 20


class _Relay:
    """The relay, as a caller and a machine see it. Each call gives the status and the JSON, or
    raises urllib3's HTTPError."""

    def __init__(self, settings: ChainSettings) -> None:
        self._address = settings.relay_address
        self._pool = urllib3.PoolManager(
            num_pools=1, timeout=urllib3.Timeout(connect=5, read=WAIT_S + 10), retries=False
        )

    def call(self, method: str, path: str, key: str | None = None, body: object = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        data = None if body is None else json.dumps(body)
        answer = self._pool.request(method, self._address + path, body=data, headers=headers)
        try:
            return answer.status, json.loads(answer.data)
        except ValueError:
            return answer.status, None


def examine(settings: ChainSettings, policy: Policy | None) -> Iterator[Finding]:
    """Every finding about what runs; what does not answer is named, and the rest is looked at anyway."""
    yield from _viewer(settings)
    is_working = recovery.is_locked(settings.lock_path)
    yield from _records(settings, is_working=is_working)
    relay = _Relay(settings)
    try:
        began = time.monotonic()
        status, health = relay.call("GET", "/")
        if not isinstance(health, dict) or "connected_clients" not in health:
            yield problem(
                "relay",
                f"Something else answers at {settings.relay_address} ({status}); "
                "put RELAY_SERVER_URL or PORT right.",
            )
            return
        took = (time.monotonic() - began) * 1000
        yield ok(
            "relay", f"{settings.relay_address} answers in {took:.0f} ms (version {health.get('version')})."
        )
        links = list(_keys_and_machine(relay, settings))
        yield from links
        if settings.relay_is_public:
            yield from _door(relay, settings)
        if is_working and all(link.level is not Level.PROBLEM for link in links):
            yield _no_op(relay, settings, policy)
        else:
            yield warning(
                "chain", "No command was sent through the chain: first put right what is named here."
            )
    except urllib3.exceptions.HTTPError as trouble:
        here = (
            "make run" if settings.relay_is_here else "look at its host, and at the network of this machine"
        )
        yield problem("relay", f"No answer from {settings.relay_address} ({away(trouble)}): {here}.")


def _viewer(settings: ChainSettings) -> Iterator[Finding]:
    try:
        # Any answer will do: it may want a login.
        urllib3.request("HEAD", settings.viewer_address, timeout=5, retries=False)
        yield ok("viewer", f"The viewer answers at {settings.viewer_address}.")
    except urllib3.exceptions.HTTPError:
        yield problem("viewer", f"No viewer at {settings.viewer_address}: make run, or make viewer.")


def _records(settings: ChainSettings, *, is_working: bool) -> Iterator[Finding]:
    waiting, asking = 0, 0
    try:
        found = dict(_query(settings.sqlite_path, "SELECT status, count(*) FROM tasks GROUP BY status"))
        waiting, asking = found.get("pending", 0), found.get("awaiting_approval", 0)
        yield ok("queue", f"{waiting} waiting to be started, {found.get('running', 0)} running.")
    except sqlite3.Error as trouble:
        yield problem(
            "queue", f"{settings.sqlite_path} cannot be read ({trouble}); see docs/TROUBLESHOOTING.md."
        )
    if asking:
        yield warning("queue", f"{asking} waiting for your OK at {settings.viewer_address}.")
    if is_working:
        yield ok("worker", "The worker runs.")
    else:
        wait = f", with {checks.count(waiting, 'task')} waiting for it" if waiting else ""
        yield problem("worker", f"The worker does not run{wait}: make run, or make worker.")


def _keys_and_machine(relay: _Relay, settings: ChainSettings) -> Iterator[Finding]:
    status, machines = relay.call("GET", "/machines", settings.own_api_key)
    if refusal := checks.of_answer("API_KEY", status):
        yield refusal
    # No reports at all is nothing that the relay would take, but it looks at the key first.
    refusal = checks.of_answer(
        "MACHINE_KEY", relay.call("PUT", "/tasks", settings.own_key, {"reports": []})[0]
    )
    if refusal:
        yield refusal
    if status == HTTPStatus.OK:
        if not refusal:
            yield ok("keys", "The relay takes API_KEY and MACHINE_KEY.")
        yield checks.of_machine(machines["machines"], settings.own_name)


def _door(relay: _Relay, settings: ChainSettings) -> Iterator[Finding]:
    # Nothing is asked there: who called by a wrong name hears that first.
    status, _ = relay.call("POST", "/mcp", settings.own_api_key, {})
    if found := checks.of_door(status, settings.relay_address):
        yield found


def _no_op(relay: _Relay, settings: ChainSettings, policy: Policy | None) -> Finding:
    projects = [name for name, one in policy.projects.items() if "git.read" in one.scopes()] if policy else []
    if not projects:
        return warning("chain", "No command was sent through the chain: no project lets git read.")
    params = {"command": ["git", "version"], "project": projects[0]}
    data = {
        "action_type": "git",
        "title": checks.TITLE,
        "machine": settings.own_name,
        "ttl": 60,
        "params": params,
    }
    began = time.monotonic()
    status, task = relay.call(
        "POST", f"/webhook?wait={WAIT_S}", settings.own_api_key, {"type": COMMAND, "data": data}
    )
    seconds = time.monotonic() - began
    if status not in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
        return problem("chain", f"The relay did not take a command ({status}): {(task or {}).get('detail')}")
    if status == HTTPStatus.ACCEPTED:
        relay.call("POST", f"/tasks/{quote(task['task_id'])}/cancel", settings.own_api_key)
    return checks.of_chain(task, seconds)


def signed_in(settings: ChainSettings) -> list[str]:
    """The assistants that can come in without a key, by their callers' names; empty when nobody tells."""
    try:
        status, found = _Relay(settings).call("GET", "/apps", settings.own_api_key)
    except urllib3.exceptions.HTTPError:
        return []
    return [app["caller"] for app in found["apps"]] if status == HTTPStatus.OK else []


def used_doors(records: Path) -> list[Door]:
    """Who came in, when last and how often, without the doctor itself; empty when that cannot be read."""
    asked = """SELECT caller, max(at), count(*) FROM (
        SELECT caller, created_at AS at FROM tasks WHERE title IS NOT ?
        UNION ALL SELECT caller, received_at FROM events) GROUP BY caller"""
    try:
        rows = _query(records, asked, checks.TITLE)
    except sqlite3.Error:
        return []
    return [Door(name, datetime.fromisoformat(at).replace(tzinfo=UTC), times) for name, at, times in rows]


def _query(records: Path, text: str, *values: object) -> list[tuple[Any, ...]]:
    """Read only, and never makes the file: without records there are no rows."""
    if not records.exists():
        return []
    with closing(sqlite3.connect(f"file:{quote(str(records))}?mode=ro", uri=True, timeout=5)) as database:
        return database.execute(text, values).fetchall()
