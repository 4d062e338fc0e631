"""Actions are found by themselves, and describe themselves."""

from __future__ import annotations

import pytest

from worker import actions
from worker.actions.base import Action


def test_every_action_is_found() -> None:
    assert list(actions.catalogue()) == ["claude_code", "git", "shell"]


def test_an_unknown_action_is_refused_with_the_list() -> None:
    with pytest.raises(actions.Rejected, match="no action 'dance'; there are claude_code, git, shell"):
        actions.parse("dance", {})


@pytest.mark.parametrize("action", actions.catalogue().values(), ids=lambda one: one.action_type)
def test_every_parameter_is_described_for_the_docs(action: type[Action]) -> None:
    schema = action.model_json_schema()
    assert schema["additionalProperties"] is False
    assert {"project", "working_dir", "timeout"} <= schema["properties"].keys()
    for name, one in schema["properties"].items():
        assert one.get("description"), name


def test_an_action_cannot_be_changed_after_it_was_checked() -> None:
    action = actions.parse("shell", {"command": "ls"})
    with pytest.raises(ValueError, match="frozen"):
        action.command = "rm -rf /"  # type: ignore[attr-defined]
