"""Every command in README and docs is run here, on a chain that runs, in a folder of its own; or the line
above it says, for the reader, what it needs that no test has ("*Needs an account at …*")."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from relay.settings import Settings as RelaySettings
from tests.chain import API_KEY, ROOT, Chain, free_port, git, wait_until
from tests.claude_cli import find_claude
from worker.actions.claude_code.cli import INSTALL

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
NEEDS = re.compile(r"^ *\*Needs (an account|a server|a phone)\b.*\*$")
PROGRAMS = re.compile(
    r"^ *(\$|sudo|curl|make|pip|python3?|npm|npx|git|fly|railway|docker|apt|sqlite3|claude|agy|honcho) ",
    re.MULTILINE,
)
# What the suite itself is started by, or takes long: that they lead somewhere is all that is looked at.
SUITE = {"test", "check", "format", "bench", "faults", "fuzz", "conformance"}


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    page: str
    language: str
    text: str
    before: str
    """The line above."""

    @property
    def is_run(self) -> bool:
        return not NEEDS.match(self.before)


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        above = text[: found.start()].rstrip().rpartition("\n")[2]
        lines = [line.removeprefix(found[1]) for line in found[3].splitlines()]
        yield Block(page.name, found[2], "\n".join(lines) + "\n", above)


ALL = [block for page in PAGES for block in blocks(page)]
# The same block on two pages is run once.
COMMANDS = {block.text: block for block in ALL if block.language == "sh" and block.is_run}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with Chain(tmp_path_factory.mktemp("commands")) as one:
        for name in (".env", "policy.toml"):
            (one.folder / name).chmod(0o600)
        usual = [part for part in os.environ["PATH"].split(":") if not (Path(part) / "claude").exists()]
        # Nobody's login: a review would cost its owner money. What it would do is in test_examples.
        one.environment["worker"] = {"HOME": str(one.folder), "PATH": ":".join(usual)}
        furnish(one.folder)
        one.start()
        yield one


def furnish(folder: Path) -> None:
    """Make *folder* look like a checkout in which `make run` has installed everything."""
    for name in ("Makefile", "Procfile", "README.md", "requirements.txt", "requirements-dev.txt", "examples"):
        (folder / name).symlink_to(ROOT / name)
    venv = folder / ".venv"
    venv.mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (venv / name).symlink_to(Path(sys.prefix) / name)
    for stamp in ("made", "runs", "tests"):
        (venv / stamp).touch()
    # An error of the relay's must be an error of the command.
    (folder / ".curlrc").write_text("fail-with-body\n")


def environment(chain: Chain, **more: str) -> dict[str, str]:
    """What the reader's shell has: the two names of the quickstart, and our Python as python3."""
    return {
        **os.environ, "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
        "HOME": str(chain.folder), "RELAY": chain.relay, "KEY": API_KEY, **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    "block", COMMANDS.values(), ids=lambda block: f"{block.page}: {block.text[:40].strip()}"
)
def test_a_command_in_the_docs_does_what_it_says(chain: Chain, block: Block, tmp_path: Path) -> None:
    if re.fullmatch(r"make run\s*", block.text):
        start_and_stop(block.text, tmp_path)
        return
    more: dict[str, str] = {}
    if "claude mcp" in block.text:
        more["PATH"] = f"{own_claude(tmp_path)}:{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"
    if "$TASK" in block.text:
        more["TASK"] = a_running_task(chain)
    text = re.sub(rf"^make (?=(?:{'|'.join(SUITE)})\b)", "make --dry-run ", block.text, flags=re.MULTILINE)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text], cwd=chain.folder, env=environment(chain, **more),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def a_running_task(chain: Chain) -> str:
    """A task that runs until it is stopped, and ends at once when it is run again."""
    once = "test -e once || { touch once; sleep 60; }"
    task_id = str(chain.command("shell", {"command": once, "timeout": 60}, wait=0)["task_id"])
    wait_until((chain.project / "once").exists, "it runs")
    return task_id


def own_claude(folder: Path) -> Path:
    (folder / "claude").symlink_to(find_claude())
    return folder


def start_and_stop(command: str, folder: Path) -> None:
    """Run a command that goes on for ever, until it greets; then press Ctrl-C."""
    checkout = folder / "ai-webhook"
    checkout.mkdir()
    furnish(checkout)
    git(checkout, "init", "-q", "-b", "main")
    ports = {"PORT": str(free_port()), "VIEWER_PORT": str(free_port())}
    log = folder / "log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            ["bash", "-c", command], cwd=checkout, env={**os.environ, **ports, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True,
        )  # fmt: skip
    try:
        wait_until(lambda: "ai-webhook is up" in log.read_text(errors="replace"), "the greeting", 30)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(15)


def test_what_is_not_run_says_what_it_needs() -> None:
    held_back = [block for block in ALL if block.language == "sh" and not block.is_run]
    assert held_back, "the pages about hosts need accounts"
    assert all("curl" not in block.text for block in held_back), "a request to the relay needs no account"


def test_commands_stand_in_blocks_that_are_run() -> None:
    for block in ALL:
        assert block.language in {"sh", "json", "toml", "python", "js", "ini", ""}, block
        if block.language != "sh":
            assert not PROGRAMS.search(block.text), f"{block.page}: mark it as sh\n{block.text}"


def test_what_looks_like_json_or_toml_is() -> None:
    for block in ALL:
        if block.language == "json":
            json.loads(block.text)
        if block.language == "toml":
            tomllib.loads(block.text)


def test_commands_in_the_middle_of_a_sentence_lead_somewhere() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    processes = set(re.findall(r"^([a-z]+):", (ROOT / "Procfile").read_text(), re.MULTILINE))
    for page in PAGES:
        text = page.read_text()
        assert set(re.findall(r"`make ([a-z]+)[^`]*`", text)) <= targets, page
        for module in re.findall(r"`python -m ([\w.]+)[^`]*`", text):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module
        for named in re.findall(r"`honcho start ?([a-z ]*)`", text):
            assert set(named.split()) <= processes, page
        assert set(re.findall(r"`(npm install -g [^`]*)`", text)) <= {INSTALL}, page


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^):#]*)(#[^)]*)?\)", page.read_text()):
            found = (page.parent / target).resolve() if target else page
            assert found.exists(), f"{page.name}: {target}"
            if anchor:
                assert anchor[1:] in anchors(found), f"{page.name}: {target}{anchor}"


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_files_for_hosts_name_real_settings_and_start_the_relay() -> None:
    deploy = ROOT / "examples" / "deploy"
    known = {name.upper() for name in RelaySettings.model_fields} | {"PYTHONUNBUFFERED"}
    fly = tomllib.loads((deploy / "fly.toml").read_text())
    assert set(fly["env"]) <= known
    docker = (deploy / "Dockerfile").read_text()
    assert set(re.findall(r"([A-Z_]+)=", docker)) <= known
    assert '"-m", "relay"' in docker
    assert fly["mounts"]["destination"] in docker
    for copied in re.findall(r"^COPY (\S+)", docker, re.MULTILINE):
        assert (ROOT / copied).exists()
        assert f"!{copied}" in (deploy / ".dockerignore").read_text()
    unit = (deploy / "ai-webhook-relay.service").read_text()
    assert "python -m relay\n" in unit
    assert "WorkingDirectory=/var/lib/ai-webhook\n" in unit
