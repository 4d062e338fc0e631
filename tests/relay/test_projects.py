"""`GET /projects`: what a machine announced, remembered while it sleeps."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from relay.protocol import CloseCode
from tests.chain import MACHINE_KEY, wait_until
from tests.relay.conftest import SECOND_KEY, Served, serve

GARDEN = {
    "name": "garden", "aliases": ["the garden"], "git": "read", "shell": "named",
    "commands": {"test": ["path"]}, "claude": ["review", "plan"], "allow": ["word.count"],
}  # fmt: skip
HOUSE = {**GARDEN, "name": "house", "aliases": [], "shell": "off", "commands": {}, "claude": [], "allow": []}
COUNT = {
    "name": "word_count", "description": "Count words.",
    "parameters": {"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"]},
}  # fmt: skip
LAPTOP = {"machine": "laptop", "online": False, "projects": [GARDEN], "actions": [COUNT]}


def known(relay: Served) -> list[dict[str, Any]]:
    return list(relay.http.get("/projects").raise_for_status().json()["machines"])


def test_a_machine_that_never_announced_anything_is_shown_as_such(two_machines: Served) -> None:
    with two_machines.machine(SECOND_KEY):
        assert known(two_machines) == [
            {"machine": "laptop", "online": False, "projects": None, "actions": []},
            {"machine": "tower", "online": True, "projects": None, "actions": []},
        ]


def test_what_a_machine_announced_is_remembered_while_it_sleeps_and_after_a_restart(tmp_path: Path) -> None:
    with serve(tmp_path) as relay:
        with relay.machine(greet=False) as machine:
            machine.greet(projects=[GARDEN], actions=[COUNT])
            assert known(relay) == [LAPTOP | {"online": True}]
        wait_until(lambda: not known(relay)[0]["online"], "the machine is seen to be gone")
        assert known(relay)[0]["projects"] == [GARDEN]
        with relay.machine() as machine:
            machine.say(type="announcement", projects=[GARDEN], actions=[COUNT])
            assert machine.is_silent()
    with serve(tmp_path) as relay:
        assert known(relay) == [LAPTOP]


def test_news_of_a_connected_machine_replaces_what_it_said_before(relay: Served) -> None:
    with relay.machine(greet=False) as machine:
        machine.greet(projects=[GARDEN, HOUSE])
        machine.say(type="announcement", projects=[HOUSE])
        assert machine.is_silent()
        assert known(relay)[0]["projects"] == [HOUSE]
        machine.say(type="announcement", projects=[])
        assert machine.is_silent()
    assert known(relay)[0]["projects"] == []


@pytest.mark.parametrize("more", [{"path": "/home/me/garden"}, {"git": "everything"}, {"name": "No Name"}])
def test_an_announcement_that_says_too_much_or_nonsense_ends_the_session(
    shared: Served, more: dict[str, str]
) -> None:
    with shared.machine(greet=False) as machine:
        machine.say(type="hello", machine="laptop", version="test", projects=[{**HOUSE, **more}])
        assert machine.close_code() == CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    "parameters",
    [
        {"properties": ["file"]},
        {"properties": {"file": "string"}},
        {"properties": {"file": {"anyOf": 5}}},
        {"properties": {"file": {"anyOf": [1]}}},
        {"properties": {"a file": {}}},
        {"properties": {}, "required": "file"},
        {"properties": {}, "required": [{}]},
        {"type": "string"},
        {"$schema": 5},
        {"properties": {"file": {"description": "x" * 20_000}}},
    ],
)
def test_an_action_that_cannot_be_a_tool_is_not_taken_and_spoils_no_other(
    shared: Served, parameters: dict[str, Any]
) -> None:
    odd = {**COUNT, "parameters": parameters}
    with shared.machine(greet=False) as machine:
        machine.say(type="hello", machine="laptop", version="test", projects=[GARDEN], actions=[COUNT, odd])
        assert machine.close_code() == CloseCode.PROTOCOL_ERROR


def test_what_cannot_be_read_any_more_keeps_no_relay_from_starting(tmp_path: Path) -> None:
    with serve(tmp_path) as relay, relay.machine(greet=False) as machine:
        machine.greet(projects=[GARDEN])
    with closing(sqlite3.connect(tmp_path / "relay.db")) as database:
        database.execute("UPDATE announcements SET told = '{}'")
        database.commit()
    with serve(tmp_path) as relay:
        assert known(relay)[0]["projects"] is None


def test_projects_are_shown_to_callers_only(shared: Served) -> None:
    assert shared.http.get("/projects", headers={"X-API-Key": MACHINE_KEY}).status_code == 403
    assert shared.http.get("/projects", headers={"X-API-Key": "fake-wrong-key-0000"}).status_code == 401
