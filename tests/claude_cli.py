"""Where the real Claude Code is, for the tests that want nothing less."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

from tests.chain import ROOT
from tests.messages_api import Api
from worker.actions.claude_code.cli import TESTED

_SYSTEM = {
    ("Linux", "x86_64"): "linux-x64",
    ("Linux", "aarch64"): "linux-arm64",
    ("Darwin", "arm64"): "darwin-arm64",
}
PACKAGE = f"@anthropic-ai/claude-code-{_SYSTEM.get((platform.system(), platform.machine()), 'linux-x64')}"

# Read before a test takes all of Claude Code's variables away.
_CHOSEN = os.environ.get("CLAUDE_BIN")


@cache
def locate_claude() -> Path | None:
    """$CLAUDE_BIN, else what npm put into node_modules/ here, else what is on the PATH."""
    here = ROOT / "node_modules" / PACKAGE / "claude"
    for place in (_CHOSEN, str(here), shutil.which("claude")):
        if place and Path(place).is_file():
            shown = subprocess.run(
                [place, "--version"], capture_output=True, text=True, timeout=30, check=False
            )
            if "(Claude Code)" in shown.stdout:
                return Path(place).resolve()
    return None


def find_claude() -> Path:
    """The real Claude Code; without it the test is skipped, and in CI it fails."""
    found = locate_claude()
    if found is None:
        _go_without(f"there is no Claude Code here; npm install --no-save {PACKAGE}@{TESTED} brings it")
    return found


def owner(folder: Path, api: Api) -> dict[str, str]:
    """The environment of somebody who lives in *folder*, has Claude Code (if it is here at all) and a
    key for *api*."""
    programs = folder / "programs"
    programs.mkdir()
    if found := locate_claude():
        (programs / "claude").symlink_to(found)
    usual = [part for part in os.environ["PATH"].split(":") if not (Path(part) / "claude").exists()]
    return {
        "HOME": str(folder), "CLAUDE_CONFIG_DIR": str(folder / "claude"),
        "PATH": ":".join([str(programs), *usual]),
        "ANTHROPIC_BASE_URL": api.url, "ANTHROPIC_API_KEY": "fake-key-for-tests",
        "ANTHROPIC_AUTH_TOKEN": "", "CLAUDE_CODE_OAUTH_TOKEN": "", "NO_PROXY": "127.0.0.1",
        "CLAUDE_CODE_MAX_RETRIES": "0", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }  # fmt: skip


def _go_without(why: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)
