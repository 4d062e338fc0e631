"""Claude Code: where its program is and how it is called.

Measured with the version below; what an older one does differently is in the comments."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from relay.announced import Mode
from worker.actions.base import Job
from worker.actions.claude_code import outcome, stream
from worker.actions.claude_code.agent import Ask, Call, Clean, Ended, Event, Verdict
from worker.environment import environment as of_every_program
from worker.manners import Farewell
from worker.policy import Rejected
from worker.process import CannotStart

TESTED = "2.1.331"
"""The version that the tests run with; .ci/run installs exactly this one."""
MINIMUM = (2, 1, 248)
"""Older ones run `/commands` in a prompt and attach any `@/file` that it names."""
INSTALL = "npm install -g @anthropic-ai/claude-code@latest"
FAREWELL: Farewell = ((signal.SIGINT, 5.0), (signal.SIGTERM, 5.0))
"""At SIGINT it ends its tools and tells cost and session; at SIGKILL its tools would live on."""

_PLACES = ("~/.local/bin", "~/.claude/local")
"""Where its own installer puts it; a service often has a shorter PATH than its owner."""

_READ = "Read,Glob,Grep,Bash"
_WRITE = f"{_READ},Edit,Write,NotebookEdit"
_MODES: Mapping[Mode, tuple[str, ...]] = {
    # --tools is what exists at all. Of Bash, only commands that read pass without anybody to ask.
    "review": ("--permission-mode=dontAsk", f"--tools={_READ}"),
    "plan": ("--permission-mode=plan", f"--tools={_READ}"),
    # Said, not left out: its owner's settings may name another default.
    "ask": ("--permission-mode=default", "--permission-prompt-tool=stdio", f"--tools={_WRITE}"),
    "edit": ("--permission-mode=acceptEdits", f"--tools={_WRITE}"),
    "full": ("--permission-mode=bypassPermissions",),
}
PASSED = frozenset(
    {
        "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "ANTHROPIC_CUSTOM_HEADERS",
        "ANTHROPIC_BETAS", "ANTHROPIC_MODEL", "ANTHROPIC_SMALL_FAST_MODEL", "ANTHROPIC_DEFAULT_OPUS_MODEL",
        "ANTHROPIC_DEFAULT_SONNET_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL", "ANTHROPIC_BEDROCK_BASE_URL",
        "ANTHROPIC_VERTEX_BASE_URL", "ANTHROPIC_VERTEX_PROJECT_ID", "ANTHROPIC_FOUNDRY_RESOURCE",
        "ANTHROPIC_FOUNDRY_BASE_URL", "CLOUD_ML_REGION", "AWS_REGION", "AWS_PROFILE", "CLAUDE_CONFIG_DIR",
        "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX",
        "CLAUDE_CODE_USE_FOUNDRY", "CLAUDE_CODE_MAX_RETRIES", "CLAUDE_CODE_MAX_OUTPUT_TOKENS",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "CLAUDE_CODE_TMPDIR", "MAX_THINKING_TOKENS",
        "API_TIMEOUT_MS", "BASH_DEFAULT_TIMEOUT_MS", "BASH_MAX_TIMEOUT_MS", "DISABLE_TELEMETRY",
        "DISABLE_ERROR_REPORTING", "IS_SANDBOX", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy",
        "https_proxy", "no_proxy", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE",
    }
)  # fmt: skip
"""Of the owner's environment, by name: how to reach the API and as whom, the way through a proxy, and
limits. Tools see it as well, so nothing is here that Claude Code itself does not need."""
_DEFAULTS = {"CLAUDE_CODE_MAX_RETRIES": "4"}
_FORCED = {
    "CLAUDE_CODE_DISABLE_FILE_MENTIONS": "1",
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
    "DISABLE_AUTOUPDATER": "1",
    "GIT_TERMINAL_PROMPT": "0",
}
# It looks at the repository with git by itself, which would start what .git/config names here.
_GIT_CONFIG = {"core.fsmonitor": "false", "core.hooksPath": "/dev/null"}

_seen: dict[tuple[str, int, int], str] = {}


class Claude:
    """The adapter for Claude Code."""

    name = "Claude Code"

    def probe(self, job: Job) -> Path:
        """Its program, from the worker's PATH or its own installer's places. Raises Rejected."""
        path = _find()
        version = version_of(job, path)
        found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
        if found is None or tuple(map(int, found.groups())) < MINIMUM:
            oldest = ".".join(map(str, MINIMUM))
            raise Rejected(
                f"Claude Code {version} is too old to be used from afar; {oldest} or newer is needed. "
                f"Update it with claude update or {INSTALL}"
            )
        return path

    def command(self, program: Path, ask: Ask, notes: Path | None) -> Call:
        """Values always stand behind `=`: in two words, one that begins with a dash is a flag."""
        argv = [
            str(program), "-p", "--output-format=stream-json", "--verbose", "--input-format=stream-json",
            *_MODES[ask.mode],
            # Without these two the hooks of the repository run even where nobody was asked to trust it.
            *(["--setting-sources=user,project"] if ask.is_trusted else
              ["--setting-sources=user", "--strict-mcp-config"]),
            f"--max-turns={ask.max_turns}", f"--max-budget-usd={ask.max_budget_usd:.2f}",
            *_session(ask),
        ]  # fmt: skip
        argv += [f"--model={ask.model}"] if ask.model else []
        argv += [f"--allowedTools={','.join(ask.tools)}"] if ask.tools else []
        argv += [f"--append-system-prompt-file={notes}"] if notes else []
        env = environment(os.environ, is_trusted=ask.is_trusted)
        return Call(tuple(argv), _message(ask.prompt), env, FAREWELL, is_dialogue=ask.mode == "ask")

    def parse(self, line: str, directory: str, clean: Clean) -> Iterable[Event]:
        return stream.parse(line, directory, clean)

    def reply(self, asked: Event, refusal: str | None) -> bytes:
        """With the very input that was asked for: what it is allowed is what was shown."""
        said = (
            {"behavior": "allow", "updatedInput": asked.data["params"]}
            if refusal is None
            else {"behavior": "deny", "message": refusal}
        )
        response = {"subtype": "success", "request_id": asked.data["id"], "response": said}
        return _line({"type": "control_response", "response": response})

    def outcome(self, ended: Ended) -> Verdict:
        return outcome.judge(ended)


def version_of(job: Job, path: Path) -> str:
    """What the program at *path* calls itself; asked once, until it changes. Raises Rejected."""
    stat = path.stat()
    key = (os.path.realpath(path), stat.st_mtime_ns, stat.st_size)
    if key not in _seen:
        _seen[key] = _version(job, path)
    return _seen[key]


def environment(owner: Mapping[str, str], *, is_trusted: bool) -> dict[str, str]:
    """What it gets of its *owner*'s environment, besides what every program gets, and from us."""
    passed = {name: value for name, value in owner.items() if name in PASSED}
    config: dict[str, str] = {}
    if not is_trusted:
        config = {f"GIT_CONFIG_KEY_{i}": key for i, key in enumerate(_GIT_CONFIG)}
        config |= {f"GIT_CONFIG_VALUE_{i}": value for i, value in enumerate(_GIT_CONFIG.values())}
        config["GIT_CONFIG_COUNT"] = str(len(_GIT_CONFIG))
    return {**_DEFAULTS, **passed, **_FORCED, **config}


def _session(ask: Ask) -> list[str]:
    if ask.earlier is None:
        return [f"--session-id={ask.session}"]
    fork = ["--fork-session", f"--session-id={ask.session}"] if ask.session != ask.earlier else []
    return [f"--resume={ask.earlier}", *fork]


def _message(prompt: str) -> bytes:
    # client_composed: text as it was written. Otherwise /cost is a command and @/etc/passwd is attached.
    message = {
        "type": "user",
        "message": {"role": "user", "content": prompt},
        "client_composed": True,
    }
    return _line(message)


def _line(message: Mapping[str, object]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _find() -> Path:
    places = [str(Path(place).expanduser()) for place in _PLACES]
    found = shutil.which("claude", path=":".join([of_every_program()["PATH"], *places]))
    if found is None:
        raise Rejected(
            "Claude Code is not installed on this machine: there is no claude on the worker's PATH; "
            f"{INSTALL} brings it"
        )
    return Path(found)


def _version(job: Job, path: Path) -> str:
    """What it calls itself. Its being there is not enough: npm may leave a text file that says so."""
    silent = replace(job, log=Path(os.devnull), stop=lambda: False)
    try:
        done = silent.run([str(path), "--version"], timeout=30, env=_FORCED)
    except CannotStart as problem:
        why = str(problem)
    else:
        if done.returncode == 0 and "(Claude Code)" in done.stdout:
            return done.stdout.split()[0]
        why = stream.one_line(done.stderr or done.stdout) or f"it ended with exit status {done.returncode}"
    raise Rejected(f"{path} is there, but it is no working Claude Code ({why}). {INSTALL} brings one")
