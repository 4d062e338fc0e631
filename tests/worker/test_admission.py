"""May this run here? Parameters, directory and policy in one answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chain import git
from worker.actions.base import Job
from worker.actions.shell import Shell
from worker.admission import FAULT, admit, judge
from worker.policy import Policy, Project, Rejected
from worker.policy_file import PolicyFile


def test_what_may_run_comes_with_its_place(rules: Policy, project: Path) -> None:
    admission = admit(
        rules, "phone", "git", {"command": "git status", "working_dir": "docs", "project": "my garden"}
    )
    assert admission.action.scope == "git.read"
    assert (admission.place.name, admission.place.directory) == ("garden", project / "docs")


@pytest.mark.parametrize(
    ("allowed", "action_type", "params", "ok"),
    [
        ({"git": "read"}, "git", {"command": "git log"}, True),
        ({"git": "read"}, "git", {"command": "git add ."}, False),
        ({"git": "read"}, "git", {"command": "git branch new"}, False),
        ({"git": "read"}, "git", {"command": "git fetch"}, False),
        ({"git": "off"}, "git", {"command": "git log"}, False),
        ({"git": "write"}, "git", {"command": "git add ."}, True),
        ({"git": "write"}, "shell", {"command": "ls"}, False),
        ({"shell": "full"}, "shell", {"command": "ls"}, True),
        ({"claude": ["review"]}, "claude_code", {"prompt": "x"}, True),
        ({"claude": ["review"]}, "claude_code", {"prompt": "x", "mode": "edit"}, False),
    ],
)
def test_the_policy_of_the_project_decides(
    project: Path, allowed: dict[str, object], action_type: str, params: dict[str, object], ok: bool
) -> None:
    policy = Policy(version=1, projects={"garden": Project.model_validate({"path": str(project), **allowed})})
    if ok:
        assert admit(policy, "phone", action_type, params).place.name == "garden"
    else:
        with pytest.raises(Rejected, match="Project garden does not allow"):
            admit(policy, "phone", action_type, params)


def test_a_command_that_its_action_cannot_judge_is_refused_and_does_not_come_again(
    policy_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def scope(_: object) -> str:
        raise KeyError("a fault in an action")

    monkeypatch.setattr(Shell, "scope", property(scope))
    verdict = judge(PolicyFile(policy_path), "phone", "shell", {"command": "ls"}, 0, 0)
    assert verdict.refusal == FAULT
    assert "a fault in an action" in caplog.text


def test_the_innermost_project_decides_for_an_absolute_directory(project: Path) -> None:
    policy = Policy(
        version=1,
        projects={
            "garden": Project(path=str(project), shell="full"),
            "docs": Project(path=str(project / "docs"), shell="off"),
        },
    )
    admit(policy, "phone", "shell", {"command": "ls", "working_dir": str(project)})
    with pytest.raises(Rejected, match="Project docs does not allow"):
        admit(policy, "phone", "shell", {"command": "ls", "working_dir": str(project / "docs")})


@pytest.mark.parametrize(
    ("entry", "reach"),
    [
        (None, ["garden", "other"]),
        ({"allow": ["git.read"]}, ["garden", "other"]),
        ({"allow": ["git.read"], "projects": ["garden"]}, ["garden"]),
        ({"allow": ["git.read"], "projects": ["garden", "other"]}, ["garden", "other"]),
    ],
)
def test_what_is_reached_beside_the_project_is_what_the_caller_may_use(
    project: Path, tmp_path: Path, entry: dict[str, object] | None, reach: list[str]
) -> None:
    # "shut" is the caller's, but allows no git.
    paths = {"garden": project, "other": tmp_path / "other", "shut": tmp_path / "shut"}
    projects = {
        name: {"path": str(path), "git": "off" if name == "shut" else "write"} for name, path in paths.items()
    }
    callers = {} if entry is None else {"phone": entry}
    policy = Policy.model_validate({"version": 1, "projects": projects, "callers": callers})
    admission = admit(policy, "phone", "git", {"command": "git log", "project": "garden"})
    assert admission.roots == tuple(paths[name] for name in reach)


def test_a_pointer_in_one_project_does_not_lead_a_caller_into_another(project: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    (project / "sub").mkdir()
    (project / "sub" / ".git").write_text("gitdir: ../../other/.git\n")
    paths = {"garden": project, "other": other}
    known = {name: {"path": str(path), "git": "write"} for name, path in paths.items()}
    for reach, said in ((["garden"], "outside of the project"), ([*paths], "what git wrote down")):
        caller = {"allow": ["git.read", "git.write"], "projects": reach}
        policy = Policy.model_validate({"version": 1, "projects": known, "callers": {"phone": caller}})
        for command in ("git log", "git commit --allow-empty -m x"):
            params = {"command": command, "project": "garden", "working_dir": "sub"}
            admission = admit(policy, "phone", "git", params)
            place = admission.place
            job = Job(place.root, place.directory, tmp_path / "log", "m", lambda: False, admission.roots)
            with pytest.raises(Rejected, match=said):
                admission.action.run(job)
    assert not (other / ".git" / "refs" / "heads" / "main").exists()
