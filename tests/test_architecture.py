"""The house rules that import-linter cannot say: libraries have one room, the relay stands alone."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import httpx
import pytest

from relay.version import VERSION
from tests.chain import API_KEY, MACHINE_KEY, end, free_port, wait_until

PACKAGES = ("relay", "listener", "worker", "viewer")
MAX_MODULE_LINES = 250
MAX_FUNCTION_LINES = 40

# Library → the only modules that may import it.
ROOMS = {
    "huey": {"worker/tasks.py"},
    "peewee": {
        "worker/models.py",
        "worker/clock.py",
        "worker/questions.py",
        "worker/agents.py",
        "worker/fetches.py",
        "relay/tables.py",
    },
    "playhouse": {"worker/schema.py"},
    "subprocess": {"worker/process.py"},
    "fastapi": {"relay/"},
    "mcp": {"relay/mcp.py", "relay/oauth.py"},
    "uvicorn": {"relay/server.py"},
    "flask": {"viewer/"},
    "markdown_it": {"viewer/markdown.py"},
    "nh3": {"viewer/markdown.py"},
    "standardwebhooks": {"relay/auth.py", "relay/settings.py"},
    "dotenv": {"relay/env.py", "worker/__main__.py", "worker/doctor.py"},
    "waitress": {"viewer/__main__.py"},
    "segno": {"viewer/connect.py"},
    "honcho": {"worker/start.py"},
    "urllib3": {"worker/away.py", "worker/links.py", "worker/reporter.py", "worker/start.py"},
    "websockets": {"listener/"},
}

# Contract of import-linter → the package that its list is about, and the modules that it leaves out.
# Nothing else would tell that a new module was forgotten: whoever is in no list may import anything.
SPOKEN = {"announced", "hidden", "mistakes", "names", "protocol", "terminal", "version"}
LISTS: dict[str, tuple[str, set[str]]] = {
    "The protocol knows nobody": ("relay", SPOKEN),
    "Of the relay, a machine knows what both speak and share": ("relay", {*SPOKEN, "env"}),
    "The listener enters the machine by the inbox": ("worker", {"inbox"}),
    "The viewer reads the records and acts through the inbox": (
        "worker",
        {"inbox", "marks", "models", "questions"},
    ),
    "Inside the worker, arrows point down": ("worker", set()),
    "Inside the relay, arrows point down": ("relay", set()),
}


def modules(root: Path) -> list[Path]:
    return sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The top-level names that a module imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("library", ROOMS)
def test_a_library_is_imported_in_its_room_only(root: Path, library: str) -> None:
    users = {str(path.relative_to(root)) for path in modules(root) if library in imported(path)}
    strangers = {user for user in users if not any(user.startswith(room) for room in ROOMS[library])}
    assert strangers == set()


@pytest.mark.parametrize("contract", LISTS)
def test_no_module_is_forgotten_in_the_lists_of_the_import_rules(root: Path, contract: str) -> None:
    package, left_out = LISTS[contract]
    there = {path.stem for path in (root / package).glob("*.py")} - {"__init__"}
    there |= {path.parent.name for path in (root / package).glob("*/__init__.py")}
    linter = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    (its,) = [one for one in linter["contracts"] if one["name"] == contract]
    lines = [*its.get("layers", ()), *its.get("forbidden_modules", ())]
    listed = re.findall(rf"\b{package}\.(\w+)", " | ".join(lines))
    assert sorted(listed) == sorted(there - left_out)


def test_the_protocol_needs_pydantic_and_the_standard_library_only(root: Path) -> None:
    allowed = {"pydantic", "relay", *sys.stdlib_module_names}
    for name in ("protocol", "announced", "names", "terminal", "version"):
        assert imported(root / "relay" / f"{name}.py") <= allowed
    assert imported(root / "relay" / "env.py") <= {"dotenv", *allowed}


def test_the_version_stands_in_one_place(root: Path) -> None:
    saying = [path for path in modules(root) if f'"{VERSION}"' in path.read_text(encoding="utf-8")]
    assert [str(path.relative_to(root)) for path in saying] == ["relay/version.py"]


def test_modules_and_functions_fit_a_screen(root: Path) -> None:
    too_long: list[str] = []
    for path in modules(root):
        text = path.read_text(encoding="utf-8")
        if len(text.splitlines()) > MAX_MODULE_LINES:
            too_long.append(f"{path.relative_to(root)}: {len(text.splitlines())} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
                length = node.end_lineno - body[0].lineno + 1
                if length > MAX_FUNCTION_LINES:
                    too_long.append(f"{path.relative_to(root)}: {node.name} has {length} lines")
    assert too_long == []


def test_every_requirement_is_used_and_every_import_is_required(root: Path) -> None:
    required = set(re.findall(r"^([a-z0-9-]+)", (root / "requirements.txt").read_text(), re.MULTILINE))
    names = {"python-dotenv": "dotenv", "markdown-it-py": "markdown_it"}
    used = set().union(*(imported(path) for path in modules(root)))
    # httptools is chosen by name in uvicorn's settings; starlette, jinja2 and markupsafe come with
    # fastapi and flask and are part of their interface, as playhouse is of peewee's; sse_starlette comes
    # with mcp, and writes its streams.
    assert {names.get(one, one) for one in required - {"httptools"}} <= used
    third_party = used - set(sys.stdlib_module_names) - set(PACKAGES)
    assert third_party <= {names.get(one, one) for one in required} | {
        "starlette",
        "playhouse",
        "jinja2",
        "markupsafe",
        "werkzeug",
        "sse_starlette",
    }


def test_the_relay_starts_when_copied_alone_to_an_empty_folder(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "relay", tmp_path / "relay", ignore=shutil.ignore_patterns("__pycache__"))
    port = free_port()
    settings = {"API_KEY": API_KEY, "MACHINE_KEY": MACHINE_KEY, "PORT": str(port)}
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    relay = subprocess.Popen([sys.executable, "-m", "relay"], cwd=tmp_path, env={**bare, **settings})
    try:
        assert wait_until(lambda: _status(port), "the relay answers") == "running"
    finally:
        end(relay)


def _status(port: int) -> str | None:
    try:
        return str(httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).json()["status"])
    except httpx.TransportError:
        return None
