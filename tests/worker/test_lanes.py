"""Tasks that may change the same repository run one after the other, in their order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from relay.protocol import Status
from tests.chain import git
from tests.worker.conftest import NOW
from worker import lanes, models, moves, recovery
from worker.admission import admit
from worker.models import Task
from worker.policy import Policy
from worker.tasks import Queue

Add = Callable[..., Task]


def test_only_the_first_of_a_lane_can_be_claimed(add: Add) -> None:
    for name in ("first", "second"):
        add(name, lane="/repo")
    assert moves.claim("second", "me", NOW) is None
    first = moves.claim("first", "me", NOW)
    assert first is not None
    assert moves.claim("second", "me", NOW) is None
    assert lanes.next_in("/repo") is None
    moves.finish(first, Status.COMPLETED, NOW)
    following = lanes.next_in("/repo")
    assert following is not None
    assert following.id == "second"
    assert moves.claim("second", "me", NOW) is not None


def test_another_lane_and_what_holds_none_are_free(add: Add) -> None:
    add("holds", lane="/repo")
    add("beside", lane="/other")
    add("reads")
    for name in ("holds", "beside", "reads"):
        assert moves.claim(name, "me", NOW) is not None


def test_what_waits_for_a_person_or_has_ended_holds_nothing(add: Add) -> None:
    for status in (Status.AWAITING_APPROVAL, Status.FAILED, Status.CANCELLED, Status.COMPLETED):
        add(status, status=status, lane="/repo")
    add("next", lane="/repo")
    assert moves.claim("next", "me", NOW) is not None


def test_the_first_of_a_lane_is_passed_over_once_its_time_is_up(add: Add) -> None:
    add("late", lane="/repo", expires_at=NOW)
    add("next", lane="/repo")
    assert moves.claim("late", "me", NOW) is None
    following = lanes.next_in("/repo")
    assert following is not None
    assert following.id == "next"


def test_what_is_held_up_is_not_rung_for_again_and_again(add: Add, queue: Queue) -> None:
    for name in ("a", "b", "c"):
        add(name, lane="/repo")
    add("free")
    recovery.ring_forgotten(queue, lambda: NOW + timedelta(minutes=1))
    assert [message.args[0] for message in queue._huey.pending()] == ["a", "free"]


def test_the_look_for_the_next_uses_the_index(records: Path) -> None:
    text = f"{lanes._WAITS} AND lane = ? ORDER BY seq LIMIT 1"
    plan = str(models.database.execute_sql(f"EXPLAIN QUERY PLAN {text}", ("/x",)).fetchall())
    assert plan.count("tasks_lane") == 2
    assert "SCAN" not in plan


@pytest.mark.parametrize(
    ("action_type", "params", "holds"),
    [
        ("git", {"command": "git status"}, False),
        ("git", {"command": "git add ."}, True),
        ("git", {"command": "git add .", "working_dir": "docs"}, True),
        ("shell", {"command": "ls"}, True),
        ("claude_code", {"prompt": "x"}, False),
    ],
)
def test_a_lane_is_the_repository_and_only_what_may_change_it_holds_it(
    rules: Policy, project: Path, action_type: str, params: dict[str, object], holds: bool
) -> None:
    assert admit(rules, "phone", action_type, params).lane == (str(project) if holds else None)


SESSION = "4033A5B0-1111-4111-8111-111111111111"


@pytest.mark.parametrize(
    ("params", "lane"),
    [
        ({}, "repository"), ({"isolation": "worktree"}, None),
        ({"isolation": "worktree", "session": SESSION}, f"session {SESSION.lower()}"),
        ({"isolation": "worktree", "session": SESSION, "fork": True}, None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("parallel", [False, True])
def test_on_a_branch_of_its_own_a_task_holds_its_session_only(
    project: Path, params: dict[str, object], lane: str | None, parallel: bool
) -> None:
    one = {"path": str(project), "claude": ["edit"], "parallel": parallel}
    policy = Policy.model_validate({"version": 1, "projects": {"garden": one}})
    found = admit(policy, "phone", "claude_code", {"prompt": "x", "mode": "edit", **params}).lane
    repository = None if parallel else str(project)
    assert found == (repository if lane == "repository" else lane)


@pytest.mark.parametrize(
    ("mode", "parallel", "holds"),
    [("review", False, "session"), ("edit", True, "session"), ("edit", False, "/")],
)
def test_a_session_goes_on_once_at_a_time(project: Path, mode: str, parallel: bool, holds: str) -> None:
    one = {"path": str(project), "claude": ["review", "edit"], "parallel": parallel}
    policy = Policy.model_validate({"version": 1, "projects": {"garden": one}})
    params = {"prompt": "x", "mode": mode, "session": SESSION}
    assert str(admit(policy, "phone", "claude_code", params).lane).startswith(holds)


def test_a_repository_inside_a_project_is_a_lane_of_its_own(rules: Policy, project: Path) -> None:
    (project / "inner").mkdir()
    git(project / "inner", "init", "-q")
    inner = admit(rules, "phone", "shell", {"command": "ls", "working_dir": "inner"})
    assert inner.lane == str(project / "inner")


def test_two_projects_that_lead_to_one_repository_share_its_lane(project: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(project)
    both = {"garden": {"path": str(project)}, "park": {"path": str(tmp_path / "link")}}
    both = {name: {**one, "shell": "full"} for name, one in both.items()}
    policy = Policy.model_validate({"version": 1, "projects": both})
    lanes_of = {admit(policy, "x", "shell", {"command": "ls", "project": one}).lane for one in both}
    assert lanes_of == {str(project)}


def test_all_work_trees_of_a_repository_share_its_lane(project: Path, tmp_path: Path) -> None:
    git(project, "worktree", "add", "-q", str(tmp_path / "linked"))
    git(project, "init", "-q", "source")
    git(project / "source", "commit", "-q", "--allow-empty", "-m", "x")
    git(project, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "./source", "sub")
    git(project / "sub", "worktree", "add", "-q", str(tmp_path / "of-sub"))
    folders = ("project", "linked", "project/sub", "of-sub")
    places = {name: {"path": str(tmp_path / name), "shell": "full"} for name in folders}
    named = {name.replace("/", "-"): one for name, one in places.items()}
    policy = Policy.model_validate({"version": 1, "projects": named})
    lane = {one: admit(policy, "x", "shell", {"command": "ls", "project": one}).lane for one in named}
    assert lane["linked"] == lane["project"] == str(project)
    assert lane["of-sub"] == lane["project-sub"] == str(project / ".git" / "modules" / "sub")


def test_what_only_looks_like_a_repository_is_no_lane_of_its_own(rules: Policy, project: Path) -> None:
    # git goes on upwards from there, and works in the repository around it.
    (project / "empty" / ".git").mkdir(parents=True)
    (project / "nowhere").mkdir()
    (project / "nowhere" / ".git").write_text("gitdir: nowhere\n")
    for folder in (project / "empty", project / "nowhere"):
        admitted = admit(rules, "x", "shell", {"command": "ls", "working_dir": str(folder)})
        assert admitted.lane == str(project)


def test_a_project_that_says_parallel_has_no_lane(policy_path: Path, project: Path) -> None:
    one = {"path": str(project), "shell": "full", "parallel": True}
    policy = Policy.model_validate({"version": 1, "projects": {"garden": one}})
    assert admit(policy, "phone", "shell", {"command": "ls"}).lane is None
