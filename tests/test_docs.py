"""The docs say what the code does: every setting, error and parameter in them is checked. What they tell
the reader to type is run by `test_commands`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from listener.settings import Settings as ListenerSettings
from relay.channel import INTERNAL_ERROR, TRY_AGAIN_LATER
from relay.errors import Code, table
from relay.protocol import CloseCode, Command, Reason, Status
from relay.settings import Settings as RelaySettings
from relay.tasks import TaskView
from relay.tools import Toolbox
from viewer.settings import Settings as ViewerSettings
from worker import actions
from worker.actions.base import Action, Job
from worker.actions.reference import reference
from worker.environment import environment
from worker.policy import Project
from worker.settings import ChainSettings

MODELS: tuple[type[BaseModel], ...] = (RelaySettings, ListenerSettings, ChainSettings, ViewerSettings)

MODULES = ("relay", "listener", "worker", "viewer")


def settings() -> dict[str, object]:
    """Every setting in the code, with its default."""
    return {
        name.upper(): None if field.is_required() else field.default
        for model in MODELS
        for name, field in model.model_fields.items()
    }


def test_env_example_lists_exactly_the_settings_of_the_code_with_their_defaults(root: Path) -> None:
    lines = re.findall(r"^([A-Z_]+)=(.*)$", (root / ".env.example").read_text(), re.MULTILINE)
    expected = {name: "" if default is None else str(default) for name, default in settings().items()}
    assert dict(lines) == expected


def test_configuration_documents_every_setting_and_no_other(root: Path) -> None:
    documented = re.findall(r"^\| `([A-Z_]+)` ", (root / "docs/CONFIGURATION.md").read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(settings())


def test_configuration_documents_every_key_of_a_project(root: Path) -> None:
    text = (root / "docs/CONFIGURATION.md").read_text().partition("## Policy")[2]
    assert set(re.findall(r"^\| `([a-z_]+)` ", text, re.MULTILINE)) == set(Project.model_fields)


def test_architecture_tells_of_every_module(root: Path) -> None:
    text = (root / "docs/ARCHITECTURE.md").read_text().rpartition("```")[2]
    told = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", text))))
    there = {path.stem for room in MODULES for path in (root / room).rglob("*.py")}
    assert {name for name in there if not name.startswith("__")} - told == set()


def test_every_requirement_has_its_line_in_the_docs(root: Path) -> None:
    required = re.findall(r"^([a-z0-9-]+)", (root / "requirements.txt").read_text(), re.MULTILINE)
    text = (root / "docs/CONFIGURATION.md").read_text().partition("## Why each library")[2]
    assert set(required) <= set(re.findall(r"[a-z0-9-]+", text))


def test_protocol_documents_every_error(root: Path) -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (\d{3}) ", (root / "docs/PROTOCOL.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted((code.slug, str(code.value.status)) for code in Code)
    assert all(f"#{code.slug}" in table() for code in Code)


def test_protocol_documents_every_way_in_which_the_relay_ends_a_session(root: Path) -> None:
    rows = re.findall(r"^\| (\d{4}) \| ", (root / "docs/PROTOCOL.md").read_text(), re.MULTILINE)
    restart = 1012  # uvicorn's, when it is told to stop
    assert sorted(map(int, rows)) == sorted({*CloseCode, INTERNAL_ERROR, TRY_AGAIN_LATER, restart})


@pytest.mark.parametrize("model", [Command, TaskView])
def test_protocol_documents_every_field(root: Path, model: type[BaseModel]) -> None:
    words = set(re.findall(r"`([a-z_]+)`", (root / "docs/PROTOCOL.md").read_text()))
    assert set(model.model_fields) <= words


def test_protocol_documents_every_status_and_reason(root: Path) -> None:
    words = set(re.findall(r"`([a-z_]+)`", (root / "docs/PROTOCOL.md").read_text()))
    assert {*Status, *Reason} <= words


def test_the_page_of_actions_is_up_to_date(root: Path) -> None:
    assert (root / "docs/LLM_ACTIONS.md").read_text() == reference()


def test_the_readme_keeps_its_length_and_its_links(root: Path) -> None:
    text = (root / "README.md").read_text()
    assert len(text.splitlines()) <= 160
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (root / target).exists(), target


def test_the_action_in_the_readme_is_whole_and_works(root: Path, tmp_path: Path) -> None:
    source = re.findall(r"```python\n(.*?)```", (root / "README.md").read_text(), re.DOTALL)[0]
    assert len(source.splitlines()) <= 25
    room: dict[str, object] = {"__name__": "example"}
    exec(compile(source, "README.md", "exec"), room)
    word_count = room["WordCount"]
    assert isinstance(word_count, type)
    assert issubclass(word_count, Action)
    (tmp_path / "text").write_text("three short words\n")
    action = word_count.model_validate({"file": "text"})
    job = Job(tmp_path, tmp_path, tmp_path / "log", "readme:1-1", lambda: False)
    assert (action.scope, action.run(job).output_data["stdout"]) == ("word.count", "3 text\n")
    assert environment().keys() & {"API_KEY", "MACHINE_KEY"} == set()


def test_every_action_has_a_sentence_and_explains_every_parameter() -> None:
    for action in actions.catalogue().values():
        assert action.__doc__, action
        missing = [name for name, field in action.model_fields.items() if not field.description]
        assert missing == [], action


@pytest.mark.parametrize("page", ["CLAUDE_SETUP.md", "CHATGPT_SETUP.md"])
def test_the_tools_that_a_page_calls_harmless_are_those_that_change_nothing(root: Path, page: str) -> None:
    toolbox: Any = Toolbox(None)  # type: ignore[arg-type]  # only their descriptions are looked at
    harmless = {tool.name for tool in toolbox.all() if tool.changes is False}
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", (root / "docs" / page).read_text()))
    assert named & {tool.name for tool in toolbox.all()} == harmless
