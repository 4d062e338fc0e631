"""What the relay is told about this machine: what may be asked for, never where it lies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import ConfigDict

from relay.protocol import Hello
from relay.strict_json import parse_json
from worker.actions import catalogue
from worker.actions.base import Action
from worker.announcement import announced
from worker.policy_file import PolicyFile

POLICY = """
version = 1
[projects.garden]
path = "/home/me/secret-place/garden"
aliases = ["the garden"]
shell = "named"
claude = ["review"]
allow = ["word.count"]
[projects.attic]
path = "~/attic"
git = "off"
[commands.test]
argv = ["pytest", "{path}"]
holes = {path = {pattern = "[a-z/]+"}}
[commands.elsewhere]
argv = ["true"]
projects = ["attic"]
"""


def rules(tmp_path: Path, text: str) -> PolicyFile:
    (tmp_path / "policy.toml").write_text(text)
    return PolicyFile(tmp_path / "policy.toml")


def test_every_project_is_told_with_what_it_allows_and_without_its_path(tmp_path: Path) -> None:
    attic, garden = announced(rules(tmp_path, POLICY), {}, []).projects
    assert (attic.name, attic.git, attic.shell, attic.commands, attic.claude) == (
        "attic",
        "off",
        "off",
        {},
        [],
    )
    assert (garden.name, garden.aliases, garden.git, garden.shell) == (
        "garden",
        ["the garden"],
        "read",
        "named",
    )
    assert (garden.commands, garden.claude, garden.allow) == ({"test": ["path"]}, ["review"], ["word.count"])
    told = garden.model_dump_json() + attic.model_dump_json()
    assert "secret-place" not in told
    assert "pytest" not in told
    assert "~" not in told


def test_a_policy_that_cannot_be_used_allows_nothing(tmp_path: Path) -> None:
    assert announced(PolicyFile(tmp_path / "missing.toml"), {}, []).projects == []
    assert announced(rules(tmp_path, "version = 1\nmisspelt = 1\n"), catalogue(), []).actions == []


def test_whatever_a_valid_policy_says_the_relay_can_take_it(tmp_path: Path) -> None:
    aliases = json.dumps(["x" * 101, "bell\u0007", "nul\u0000", *(f"alias {number}" for number in range(30))])
    projects = "".join(
        f'[projects.p{number}]\npath = "/x"\naliases = {aliases}\nallow = {aliases}\n'
        for number in range(501)
    )
    commands = "".join(f'[commands.c{number}]\nargv = ["true"]\n' for number in range(201))
    told = announced(rules(tmp_path, f"version = 1\n{projects}{commands}"), {}, []).projects
    assert len(told) == 500
    assert told[0].aliases == [f"alias {number}" for number in range(20)]
    hello = Hello(machine="laptop", version="1", projects=told).model_dump_json()
    assert Hello.model_validate(parse_json(hello)).projects == told


class WordCount(Action):
    """Count the words of a file.

    What else is to be said about it is for people."""

    action_type: ClassVar[str] = "word_count"
    file: str
    """Which file."""


class Untellable(Action):
    """Takes what no JSON schema can say."""

    action_type: ClassVar[str] = "untellable"
    how: Callable[[], int]
    """A function."""


class Odd(WordCount):
    """An action whose schema its author made odd."""

    action_type: ClassVar[str] = "odd"
    model_config = ConfigDict(json_schema_extra={"required": "file"})


def test_what_cannot_be_told_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Secretive(Untellable):
        """Another one."""

        action_type: ClassVar[str] = "secretive"

    file = rules(tmp_path, POLICY)
    told = [announced(file, {"secretive": Secretive, "word_count": WordCount}, []) for _ in range(3)]
    assert told[0] == told[2]
    assert [action.name for action in told[0].actions] == ["word_count"]
    assert [record.args[0] for record in caplog.records if record.args] == ["secretive"]  # type: ignore[index]


def test_actions_that_somebody_added_are_told_with_their_parameters(tmp_path: Path) -> None:
    added = {"word_count": WordCount, "No Name": WordCount, "untellable": Untellable, "odd": Odd}
    everything = {**catalogue(), **added}
    (count,) = announced(rules(tmp_path, POLICY), everything, []).actions
    assert (count.name, count.description) == ("word_count", "Count the words of a file.")
    assert count.parameters["properties"]["file"]["description"] == "Which file."
    assert count.parameters["required"] == ["file"]
