"""claude_code: the parameters are final; without the CLI it says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from worker import actions
from worker.actions.claude_code import ClaudeCode


def test_without_the_cli_there_is_a_sentence_with_the_way_out(
    do: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said = do("claude_code", prompt="Review the last commit")
    assert "not installed" in str(said)
    assert "npm install" in str(said)


def test_each_mode_is_a_scope_of_its_own() -> None:
    for mode in ("review", "plan", "edit", "full"):
        assert ClaudeCode.model_validate({"prompt": "x", "mode": mode}).scope == f"claude.{mode}"
    assert ClaudeCode(prompt="x").scope == "claude.review"
    assert ClaudeCode(prompt="x").timeout == 1_800


@pytest.mark.parametrize(
    "params",
    [
        {}, {"prompt": ""}, {"prompt": "x", "mode": "yolo"}, {"prompt": "x", "model": "-x"},
        {"prompt": "x", "model": "a b"},
        {"prompt": "x", "max_turns": 0}, {"prompt": "x", "max_budget_usd": -1},
        {"prompt": "x", "isolation": "docker"},
        {"prompt": "x", "dangerously": True}, {"prompt": "x", "timeout": 7_201},
    ],
)  # fmt: skip
def test_wrong_parameters_are_refused(params: dict[str, object]) -> None:
    with pytest.raises(actions.Rejected, match="claude_code"):
        actions.parse("claude_code", params)
