"""shell: a string through /bin/sh, a list as it stands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.protocol import Command, Reason, Status
from tests import door
from tests.chain import MACHINE_KEY
from tests.worker.conftest import NOW
from worker import actions, models
from worker.actions.base import Outcome
from worker.actions.shell import Shell
from worker.inbox import Inbox
from worker.models import Task
from worker.policy import NamedCommand, Policy
from worker.policy_file import PolicyFile
from worker.redact import Redactor
from worker.reporter import Reporter
from worker.runner import Runner
from worker.settings import Settings
from worker.tasks import Queue

Do = Callable[..., Outcome]


def test_a_string_is_for_the_shell(do: Do, project: Path) -> None:
    outcome = do("shell", command="echo $((6 * 7)) | cat; pwd")
    assert outcome.output_data["stdout"] == f"42\n{project}\n"
    assert (outcome.status, outcome.headline) == (Status.COMPLETED, str(project))


def test_a_list_is_a_program_and_its_words(do: Do) -> None:
    assert do("shell", command=["echo", "$((6 * 7))", "|", "*"]).output_data["stdout"] == "$((6 * 7)) | *\n"


@pytest.mark.parametrize(
    ("command", "status"), [("exit 3", 3), (["false"], 1), ("nonsense-command", 127), ("kill -9 $$", -9)]
)
def test_only_zero_is_a_success(do: Do, command: str | list[str], status: int) -> None:
    outcome = do("shell", command=command)
    assert (outcome.status, outcome.reason) == (Status.FAILED, Reason.EXIT_STATUS)
    assert outcome.output_data["returncode"] == status
    assert str(abs(status)) in str(outcome.error)


def test_the_error_has_the_last_words_and_errors_speak_first(do: Do) -> None:
    outcome = do("shell", command="echo fine; echo 'disk is full' >&2; exit 1")
    assert outcome.error == "It ended with exit status 1: disk is full"
    assert outcome.headline == "disk is full"
    assert do("shell", command="echo result; echo warning >&2").headline == "result"
    assert do("shell", command="exit 2").error == "It ended with exit status 2 and printed nothing"


def test_a_missing_program_is_a_refusal(do: Do) -> None:
    assert "no-such-program" in str(do("shell", command=["no-such-program"]))


def test_time_is_up(do: Do) -> None:
    outcome = do("shell", command="echo begun; sleep 300", timeout=0.3)
    assert (outcome.status, outcome.reason) == (Status.FAILED, Reason.TIMED_OUT)
    assert "0.3 seconds" in str(outcome.error)
    assert outcome.output_data["stdout"] == "begun\n"


def test_too_much_output_is_an_error(records: Path, queue: Queue, policy_path: Path) -> None:
    policy_path.write_text(policy_path.read_text() + "[limits]\nmax_output_mb = 1\n")
    task = run(policy_path, queue, command=["yes"])
    assert (task.status, task.reason) == (Status.FAILED, Reason.ERROR)
    assert "more than max_output_mb in policy.toml allows" in str(task.error)
    assert 1_000_000 < models.output_path(task).stat().st_size < 20_000_000


def test_what_is_spoken_of_wild_output_is_short(do: Do) -> None:
    outcome = do("shell", command="head -c 100000 /dev/zero | tr '\\0' x")
    assert outcome.headline is not None
    assert len(outcome.headline) <= 200


@pytest.mark.parametrize(
    "params",
    [
        {}, {"command": ""}, {"command": []}, {"command": {}}, {"command": "x" * 16_385},
        {"command": ["x"] * 201},
        {"command": "ls", "timeout": 0}, {"command": "ls", "timeout": -1},
        {"command": "ls", "timeout": 86_401},
        {"command": "ls", "timeout": float("nan")}, {"command": "ls", "timeout": "soon"},
        {"command": "ls", "cwd": "/"},
        {"command": [1]}, {"comand": "ls"}, {"command": "ls", "project": 5},
        {"command": "ls", "working_dir": ["x"]},
    ],
)  # fmt: skip
def test_wrong_parameters_are_refused_with_their_name(params: dict[str, object]) -> None:
    with pytest.raises(actions.Rejected, match="parameters of shell are not right") as why:
        actions.parse("shell", params)
    wrong = next(
        name
        for name in ("comand", "cwd", "timeout", "project", "working_dir", "command")
        if name in params or not params
    )
    assert (wrong if params else "command") in str(why.value)


def test_a_text_number_is_a_number_for_people_who_talk_to_assistants() -> None:
    action = actions.parse("shell", {"command": "ls", "timeout": "5"})
    assert action.timeout == 5


@pytest.mark.parametrize(
    ("command", "preview"), [("ls | wc", "ls | wc"), (["echo", "a b", "$x"], "echo 'a b' '$x'")]
)
def test_the_preview_is_what_would_run(command: str | list[str], preview: str) -> None:
    action = Shell.model_validate({"command": command})
    assert (action.preview, action.scope) == (preview, "shell.full")


NAMED = """
[commands.greet]
argv = ["echo", "hello", "{who}"]
timeout_s = 5
[commands.greet.holes.who]
pattern = "[a-z; ]+"
default = "world"
"""


@pytest.fixture
def named(policy_path: Path) -> None:
    """The project allows named commands only."""
    text = policy_path.read_text().replace('shell = "full"', 'shell = "named"')
    policy_path.write_text(text + NAMED)


def run(policy_path: Path, queue: Queue, **params: object) -> Task:
    """Accept and run one shell command by the policy as it stands."""
    policy = PolicyFile(policy_path)
    asked = Command(task_id="n", action_type="shell", params=params)
    door.ask(Inbox(queue, policy, lambda: NOW), asked)
    reporter = Reporter(Settings.read({"MACHINE_KEY": MACHINE_KEY}))
    Runner(policy, reporter, "named", Redactor(()), lambda: NOW).run("n")
    task = models.get("n")
    assert task is not None
    return task


@pytest.mark.parametrize(
    ("values", "printed"),
    [({}, "hello world"), ({"who": "you"}, "hello you"), ({"who": "a; touch b"}, "hello a; touch b")],
)
def test_a_named_command_runs_with_its_holes_filled(
    named: None, records: Path, queue: Queue, policy_path: Path, values: dict[str, str], printed: str
) -> None:
    task = run(policy_path, queue, name="greet", values=values)
    assert (task.status, task.scope) == ("completed", "shell.named")
    assert json.loads(task.output_data or "")["stdout"].strip() == printed
    assert task.preview.startswith("echo hello ")


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({"command": "echo hello"}, "does not allow shell.full; it allows claude.review"),
        ({"command": ["echo", "hello"]}, "does not allow shell.full"),
        ({"name": "rm"}, "knows no command 'rm'; it knows greet"),
        ({"name": "greet", "values": {"who": "-n"}}, "who of greet must look like"),
        ({"name": "greet", "values": {"who": "UP"}}, "who of greet must look like"),
        ({"name": "greet", "values": {"whom": "x"}}, "takes who, not whom"),
        ({"name": "greet", "command": "echo"}, "either command or name is needed"),
        ({"command": "echo", "values": {"who": "x"}}, "values go with name"),
        ({}, "either command or name is needed"),
    ],
)
def test_what_is_not_named_is_refused_with_the_way_out(
    named: None, records: Path, queue: Queue, policy_path: Path, params: dict[str, object], why: str
) -> None:
    task = run(policy_path, queue, **params)
    assert (task.status, task.reason) == ("failed", "rejected")
    assert why in (task.error or "")


def test_the_owners_time_limit_of_a_named_command_can_only_be_shortened(rules: Policy, named: None) -> None:
    command = NamedCommand.model_validate({"argv": ["x"], "timeout_s": 5})
    policy = rules.model_copy(update={"commands": {"x": command}})
    assert Shell(name="x").bound(policy, "garden").timeout == 5
    assert Shell(name="x", timeout=2).bound(policy, "garden").timeout == 2
    assert Shell(name="x", timeout=50).bound(policy, "garden").timeout == 5
