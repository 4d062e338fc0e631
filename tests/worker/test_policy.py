"""policy.toml: what may run where. No mistake in it ever allows more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker.policy import NamedCommand, Policy, Project, Rejected, check, needs_approval
from worker.policy_file import PolicyFile

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
        ({"git": "write"}, {"git.read", "git.write", "git.approval"}),
        ({"shell": "named"}, {"git.read", "shell.named"}),
        ({"shell": "full"}, {"git.read", "shell.named", "shell.full"}),
        ({"git": "off", "claude": ["review", "edit"]}, {"claude.review", "claude.edit"}),
        ({"git": "off", "allow": ["lights.on"]}, {"lights.on"}),
    ],
)
def test_scopes_are_exactly_what_is_written(project: dict[str, object], scopes: set[str]) -> None:
    assert Project.model_validate({"path": "/x", **project}).scopes() == scopes


def test_what_is_not_allowed_is_refused_with_what_is(path: Path) -> None:
    shut = {"path": "/x", "git": "off"}
    path.write_text('version = 1\n[projects]\ngarden = {path = "/x", git = "write"}\n')
    policy = PolicyFile(path).current()
    check(policy, "garden", "git.write", "phone")
    with pytest.raises(Rejected, match=r"garden does not allow shell.full; it allows git.approval, git.read"):
        check(policy, "garden", "shell.full", "phone")
    closed = Policy.model_validate({"version": 1, "projects": {"garden": shut}})
    with pytest.raises(Rejected, match="it allows nothing"):
        check(closed, "garden", "git.read", "phone")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "version"),
        ("version = 2\n", "version"),
        (GOOD + 'sehll = "full"\n', "sehll"),
        (GOOD + 'git = "all"\n', "git"),
        (GOOD + 'shell = "nmaed"\n', "shell"),
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


CALLERS = Policy.model_validate(
    {
        "version": 1,
        "projects": {"garden": {"path": "/x", "git": "write", "shell": "full"}, "notes": {"path": "/y"}},
        "callers": {
            "phone": {"allow": ["git.read", "claude.review"]},
            "watch": {"allow": ["git.read"], "projects": ["notes"]},
        },
    }
)


@pytest.mark.parametrize(
    ("caller", "project", "scope", "why"),
    [
        ("phone", "garden", "git.read", None),
        ("phone", "garden", "git.write", "may not ask for git.write; it may ask for claude.review"),
        ("phone", "garden", "claude.review", "garden does not allow claude.review"),
        ("watch", "notes", "git.read", None),
        ("watch", "garden", "git.read", "watch may not use project garden; it may use notes"),
        ("claude", "garden", "shell.full", None),
    ],
)  # fmt: skip
def test_a_caller_may_ask_for_what_its_entry_and_the_project_allow(
    caller: str, project: str, scope: str, why: str | None
) -> None:
    if why is None:
        check(CALLERS, project, scope, caller)
    else:
        with pytest.raises(Rejected, match=why):
            check(CALLERS, project, scope, caller)


@pytest.mark.parametrize(
    ("scope", "age_s", "asks"),
    [
        ("git.read", 1e6, False), ("claude.review", 1e6, False), ("git.write", 599, False),
        ("git.write", 601, True), ("shell.full", 601, True), ("lights.on", 601, True),
        ("git.approval", 0, True), ("claude.full", 0, True), ("claude.edit", 0, False),
    ],
)  # fmt: skip
def test_a_person_is_asked_about_what_is_listed_and_what_is_stale(
    scope: str, age_s: float, asks: bool
) -> None:
    why = needs_approval(CALLERS, scope, age_s)
    assert (why is not None) == asks
    if why and age_s:
        assert "10 minutes ago" in why


TEST = NamedCommand.model_validate(
    {
        "argv": ["pytest", "-q", "--", "{path}", "{path2}"],
        "holes": {"path": {"pattern": "[a-z/]+", "default": "tests"}, "path2": {"pattern": ".*"}},
    }
)


def test_the_holes_of_a_named_command_are_filled_with_whole_arguments() -> None:
    assert TEST.filled("test", {"path2": "a b; rm"}) == ["pytest", "-q", "--", "tests", "a b; rm"]
    assert TEST.filled("test", {"path": "src", "path2": "x"})[3:] == ["src", "x"]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, "needs a value for path2"),
        ({"path2": "x", "more": "y"}, "takes path, path2, not more"),
        ({"path2": "x", "path": "UP"}, r"path of test must look like \[a-z/\]\+, not 'UP'"),
        ({"path2": "-x"}, "path2 of test must look like"),
        ({"path2": "--output=/x"}, "path2 of test"),
        ({"path2": ""}, "path2 of test"),
        ({"path2": "a\nb"}, "path2 of test"),
        ({"path2": "a\x00b"}, "path2 of test"),
        ({"path2": "x" * 1001}, "path2 of test"),
        ({"path2": "x", "path": "src\n"}, "path of test"),
    ],
)
def test_a_value_that_does_not_fit_its_hole_is_refused(values: dict[str, str], why: str) -> None:
    with pytest.raises(Rejected, match=why):
        TEST.filled("test", values)


@pytest.mark.parametrize(
    "command",
    [
        'argv = []', 'argv = ["x", "{a}"]', 'argv = ["{a}"]\nholes = {a = {pattern = "x"}}',
        'argv = ["x"]\nholes = {a = {pattern = "x"}}', 'argv = ["x", "{a}"]\nholes = {a = {pattern = "("}}',
        'argv = ["x"]\nprojects = ["nowhere"]', 'argv = "x y"', 'argv = ["x"]\ntimeout_s = -1',
        'argv = ["x"]\ntimeout_s = 7201', 'argv = ["x", "{a}"]\nholes = {a = {pattern = "x{1,99999999999}"}}',
    ],
)  # fmt: skip
def test_a_named_command_that_makes_no_sense_breaks_the_file(path: Path, command: str) -> None:
    path.write_text(GOOD + f"[commands.test]\n{command}\n")
    assert "nothing is allowed until" in refused(path)


@pytest.mark.parametrize(
    "text", [f"version = {'[' * 3_000}", 'version = 1\n[projects.garden]\npath = "/x\\u0000y"\n']
)
def test_what_would_only_break_later_breaks_the_file(path: Path, text: str) -> None:
    path.write_text(text)
    assert "nothing is allowed until" in refused(path)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ('[approval]\nrequire = ["shel.full"]\n', "did you mean shell.full"),
        ('[callers.phone]\nallow = ["git.raed"]\n', "did you mean git.read"),
        ('[callers.phone]\nallow = ["git.everything"]\n', "there are claude.ask, "),
        ('allow = ["claude.ful"]\n', "did you mean claude.full"),
    ],
)
def test_a_scope_that_is_misspelt_allows_nothing(path: Path, more: str, why: str) -> None:
    path.write_text(GOOD + more)
    assert why in refused(path)


def test_a_scope_of_an_action_that_somebody_added_is_taken_as_it_is(path: Path) -> None:
    path.write_text(GOOD + 'allow = ["word.count", "dance"]\n[approval]\nrequire = ["dance"]\n')
    assert "word.count" in PolicyFile(path).current().projects["garden"].scopes()


def test_a_named_command_may_take_as_long_as_the_limits_say(path: Path) -> None:
    command = '[commands.test]\nargv = ["x"]\ntimeout_s = 9000\n'
    path.write_text(f"{GOOD}{command}[limits]\nmax_timeout_s = 9000\n")
    assert PolicyFile(path).current().commands["test"].timeout_s == 9_000
    path.write_text(f"{GOOD}{command}[limits]\nmax_timeout_s = 60\n")
    assert "the timeout_s of test is more than max_timeout_s, which is 60" in refused(path)


def test_a_named_command_belongs_to_the_projects_that_it_lists() -> None:
    both = {"garden": {"path": "/x"}, "notes": {"path": "/y"}}
    commands = {"everywhere": {"argv": ["x"]}, "here": {"argv": ["y"], "projects": ["notes"]}}
    policy = Policy.model_validate({"version": 1, "projects": both, "commands": commands})
    assert sorted(policy.named("notes")) == ["everywhere", "here"]
    assert sorted(policy.named("garden")) == ["everywhere"]
