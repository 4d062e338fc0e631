"""policy.toml: what may run where. No mistake in it ever allows more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker.policy import PolicyFile, Project, Rejected, check

GOOD = 'version = 1\n[projects.garden]\npath = "/tmp"\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "policy.toml"


def refused(path: Path) -> str:
    with pytest.raises(Rejected) as why:
        PolicyFile(path).current()
    return str(why.value)


def test_a_project_that_says_nothing_else_may_only_be_read(path: Path) -> None:
    path.write_text(GOOD)
    assert PolicyFile(path).current().projects["garden"].scopes() == {"git.read"}


@pytest.mark.parametrize(
    ("project", "scopes"),
    [
        ({"git": "off"}, set()),
        ({"git": "read"}, {"git.read"}),
        ({"git": "write"}, {"git.read", "git.write"}),
        ({"shell": "full"}, {"git.read", "shell.full"}),
        ({"git": "off", "claude": ["review", "edit"]}, {"claude.review", "claude.edit"}),
        ({"git": "off", "allow": ["lights.on"]}, {"lights.on"}),
    ],
)
def test_scopes_are_exactly_what_is_written(project: dict[str, object], scopes: set[str]) -> None:
    assert Project.model_validate({"path": "/x", **project}).scopes() == scopes


def test_what_is_not_allowed_is_refused_with_what_is(path: Path) -> None:
    project = Project(path="/x", git="write")
    check("garden", project, "git.write")
    with pytest.raises(Rejected, match=r"garden does not allow shell.full; it allows git.read, git.write"):
        check("garden", project, "shell.full")
    with pytest.raises(Rejected, match="it allows nothing"):
        check("garden", Project(path="/x", git="off"), "git.read")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "version"),
        ("version = 2\n", "version"),
        (GOOD + 'sehll = "full"\n', "sehll"),
        (GOOD + 'git = "all"\n', "git"),
        (GOOD + 'shell = "named"\n', "shell"),
        (GOOD + 'claude = ["anything"]\n', "claude"),
        (GOOD + "aliases = 5\n", "aliases"),
        ('version = 1\ncolour = "red"\n' + GOOD[12:], "colour"),
        ("version = 1\n[projects.garden]\n", "path"),
        ('version = 1\n[projects.garden]\npath = ""\n', "path"),
        ('version = 1\n[projects."My Garden"]\npath = "/tmp"\n', "projects"),
        (GOOD + GOOD, "twice"),
        ("this is no toml", ""),
        ("version = 1\nprojects = 5\n", "projects"),
    ],
)
def test_a_broken_file_allows_nothing_and_says_why(path: Path, text: str, word: str) -> None:
    path.write_text(text)
    said = refused(path)
    assert word in said
    assert str(path) in said
    assert "nothing is allowed" in said
    assert "\n" not in said.strip()


def test_a_file_that_is_no_text_allows_nothing(path: Path) -> None:
    path.write_bytes(b"version = 1\n# \xff\xfe\n")
    assert "nothing is allowed" in refused(path)
    path.unlink()
    path.mkdir()
    assert "nothing is allowed" in refused(path)


def test_without_a_file_nothing_is_allowed(path: Path) -> None:
    assert "nothing is allowed" in refused(path)


def test_the_file_is_read_again_when_it_changes(path: Path) -> None:
    file = PolicyFile(path)
    with pytest.raises(Rejected):
        file.current()
    path.write_text(GOOD)
    assert file.current().projects["garden"].git == "read"
    path.write_text(GOOD + 'git = "off"\n')
    assert file.current().projects["garden"].git == "off"
    path.write_text("broken")
    with pytest.raises(Rejected):
        file.current()
    path.write_text(GOOD)
    assert file.current().projects["garden"].git == "read"
    path.unlink()
    with pytest.raises(Rejected):
        file.current()


def test_a_change_of_the_same_length_is_seen_too(path: Path) -> None:
    path.write_text(GOOD + 'shell = "full" #\n')
    file = PolicyFile(path)
    assert file.current().projects["garden"].shell == "full"
    later = path.stat().st_mtime_ns + 1
    path.write_text(GOOD + 'shell = "off"  #\n')
    os.utime(path, ns=(later, later))
    assert file.current().projects["garden"].shell == "off"


def test_what_has_not_changed_is_not_read_again(path: Path) -> None:
    path.write_text(GOOD)
    file = PolicyFile(path)
    assert file.current() is file.current()
