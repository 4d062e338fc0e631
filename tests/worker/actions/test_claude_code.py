"""claude_code with a program that misbehaves in every way; the real one has tests of its own."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from relay import offers
from relay.announced import AnnouncedProject
from relay.protocol import Reason, Status
from relay.tools import Toolbox
from tests.chain import git, is_alive, make_project, wait_until
from worker import actions
from worker.actions.base import Action, Job, Outcome
from worker.actions.claude_code import ClaudeCode, agent, changes, cli, watch
from worker.actions.claude_code.cli import PASSED
from worker.actions.claude_code.work import perform
from worker.admission import admit
from worker.policy import Policy, Project

Ask = Callable[..., Any]
Fake = Callable[..., Path]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "FAREWELL", ((signal.SIGINT, 0.5), (signal.SIGTERM, 0.5)))
    monkeypatch.setattr(watch, "LINGER_S", 0.3)


def argv(program: Path) -> list[str]:
    return list(json.loads((program.parent / "argv").read_text()))


def log(tmp_path: Path) -> str:
    path = tmp_path / "log"
    return path.read_text() if path.exists() else ""


def test_every_mode_is_known_wherever_modes_are_named() -> None:
    modes = set(get_args(agent.Mode))
    named = [
        ClaudeCode.model_fields["mode"].annotation, Project.model_fields["claude"].annotation,
        AnnouncedProject.model_fields["claude"].annotation,
        get_type_hints(Toolbox.ask_claude_code)["mode"],
    ]  # fmt: skip
    for kind in named:
        literal = kind if get_origin(kind) is Literal else get_args(kind)[0]
        assert set(get_args(literal)) == modes
    assert set(offers.MODES) == cli._MODES.keys() == modes


def test_each_mode_is_a_scope_of_its_own() -> None:
    for mode in get_args(agent.Mode):
        assert ClaudeCode.model_validate({"prompt": "x", "mode": mode}).scope == f"claude.{mode}"
    one = ClaudeCode(prompt="x")
    assert (one.scope, one.timeout, one.max_turns, one.max_budget_usd) == ("claude.review", 1_800, 30, 2)


@pytest.mark.parametrize(
    "params",
    [
        {}, {"prompt": ""}, {"prompt": " \n\t"}, {"prompt": "x" * 200_001}, {"prompt": "x", "mode": "yolo"},
        {"prompt": "x", "model": "-x"}, {"prompt": "x", "model": "a b"}, {"prompt": "x", "model": "a\n"},
        {"prompt": "x", "model": "é"}, {"prompt": "x", "max_turns": 0}, {"prompt": "x", "max_budget_usd": -1},
        {"prompt": "x", "max_budget_usd": 0}, {"prompt": "x", "isolation": "docker"},
        {"prompt": "x", "dangerously": True}, {"prompt": "x", "timeout": 86_401},
        {"prompt": "x", "session": "--help"}, {"prompt": "x", "session": "a\n"},
        {"prompt": "x", "fork": True}, {"prompt": "x", "flags": ["-p"]},
        {"prompt": "x", "session": "4033a5b0-1111-4111-8111-11111111111"},
        {"prompt": "x", "env": {"A": "b"}}, {"prompt": "x", "settings": "{}"},
    ],
)  # fmt: skip
def test_wrong_parameters_are_refused(params: dict[str, object]) -> None:
    with pytest.raises(actions.Rejected, match="claude_code"):
        actions.parse("claude_code", params)


def test_without_the_cli_there_is_a_sentence_with_the_way_out(home: Path, ask: Ask) -> None:
    said = ask()
    assert "not installed" in said
    assert "npm install" in said


def test_it_is_found_where_its_own_installer_puts_it(fake: Fake, home: Path, ask: Ask) -> None:
    program = fake("result()")
    (home / ".local" / "bin").mkdir(parents=True)
    program.rename(home / ".local" / "bin" / "claude")
    assert ask().status is Status.COMPLETED


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("2.1.247 (Claude Code)", "2.1.247 is too old"), ("1.9.999 (Claude Code)", "claude update"),
        ("claude native binary not installed", "no working Claude Code (claude native binary not installed)"),
        ("", "is no working Claude Code (it ended with exit status 0)"), ("x (Claude Code)", "too old"),
    ],
)  # fmt: skip
def test_one_that_is_too_old_or_broken_is_refused_with_the_way_out(
    fake: Fake, ask: Ask, version: str, words: str
) -> None:
    program = fake("result()", version)
    said = ask()
    assert words in said
    assert "npm install -g" in said
    assert not (program.parent / "argv").exists()
    fake("result()")
    assert ask().status is Status.COMPLETED  # the new one is looked at anew


def test_a_text_file_where_the_program_should_be_is_told(fake: Fake, ask: Ask) -> None:
    fake("").write_text("run the postinstall script\n")
    assert "it is no working Claude Code" in ask()
    fake("").write_text("#!/no/such/interpreter\n")
    assert "it is no working Claude Code" in ask()


COMMON = ["-p", "--output-format=stream-json", "--verbose", "--input-format=stream-json"]
UNTRUSTED = ["--setting-sources=user", "--strict-mcp-config"]


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("review", ["--permission-mode=dontAsk", "--tools=Read,Glob,Grep,Bash"]),
        ("plan", ["--permission-mode=plan", "--tools=Read,Glob,Grep,Bash"]),
        ("edit", ["--permission-mode=acceptEdits", "--tools=Read,Glob,Grep,Bash,Edit,Write,NotebookEdit"]),
        ("full", ["--permission-mode=bypassPermissions"]),
    ],
)
def test_every_mode_has_its_own_words_and_the_prompt_is_not_among_them(
    fake: Fake, ask: Ask, mode: str, words: list[str]
) -> None:
    program = fake("result()")
    done = ask("--dangerously-skip-permissions", mode=mode, max_turns=7, max_budget_usd=0.5, model="opus[1m]")
    session = done.output_data["session_id"]
    limits = ["--max-turns=7", "--max-budget-usd=0.50", f"--session-id={session}", "--model=opus[1m]"]
    assert argv(program) == [*COMMON, *words, *UNTRUSTED, *limits]
    (line,) = (program.parent / "stdin").read_text().splitlines()
    assert json.loads(line) == {
        "type": "user", "client_composed": True,
        "message": {"role": "user", "content": "--dangerously-skip-permissions"},
    }  # fmt: skip


def test_any_prompt_is_one_line_of_json(fake: Fake, ask: Ask) -> None:
    program = fake("result()")
    for prompt in ("\n/cost\n", "\u2028 \x00 \x85 é 😀", '"}', "y" * 200_000):
        ask(prompt)
        raw = (program.parent / "stdin").read_bytes()
        assert (raw.count(b"\n"), raw[-1:]) == (1, b"\n")
        assert json.loads(raw)["message"]["content"] == prompt


def test_a_session_goes_on_or_is_branched_off(fake: Fake, ask: Ask) -> None:
    program = fake("result()")
    first = "4033A5B0-1111-4111-8111-111111111111"
    done = ask(session=first)
    assert done.output_data["session_id"] == first.lower()
    assert [word for word in argv(program) if "session" in word or "resume" in word] == [
        f"--resume={first.lower()}"
    ]
    done = ask(session=first, fork=True)
    assert done.output_data["session_id"] != first.lower()
    assert argv(program)[-3:] == [
        f"--resume={first.lower()}", "--fork-session", f"--session-id={done.output_data['session_id']}",
    ]  # fmt: skip


def test_only_what_it_needs_of_its_owners_environment_is_passed_on(
    fake: Fake, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = fake("result()")
    for name in ("API_KEY", "MACHINE_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "CLAUDECODE",
                 "NODE_OPTIONS", "ANTHROPIC_UNKNOWN", "CLAUDE_CODE_ENABLE_TELEMETRY"):  # fmt: skip
        monkeypatch.setenv(name, "fake-secret")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "fake-key")
    monkeypatch.setenv("CLAUDE_CODE_MAX_RETRIES", "1")
    monkeypatch.setenv("DISABLE_AUTOUPDATER", "")
    ask()
    env = json.loads((program.parent / "env").read_text())
    assert "fake-secret" not in env.values()
    assert (env["ANTHROPIC_API_KEY"], env["CLAUDE_CODE_MAX_RETRIES"]) == ("fake-key", "1")
    assert (env["DISABLE_AUTOUPDATER"], env["CLAUDE_CODE_DISABLE_FILE_MENTIONS"]) == ("1", "1")
    monkeypatch.delenv("CLAUDE_CODE_MAX_RETRIES")
    ask()
    assert json.loads((program.parent / "env").read_text())["CLAUDE_CODE_MAX_RETRIES"] == "4"
    assert not {name for name in PASSED if name.startswith(("LD_", "GIT_", "PYTHON", "NODE_OPTIONS"))}


@pytest.mark.parametrize("mode", ["review", "edit"])
def test_where_git_must_not_be_used_it_is_not_started_either(
    fake: Fake, ask: Ask, project: Path, mode: str
) -> None:
    git(project, "config", "filter.x.clean", "touch ran; cat")
    (project / ".gitattributes").write_text("* filter=x\n")
    program = fake("result()")
    assert "sets filter.x.clean" in ask(mode=mode)
    assert not (program.parent / "argv").exists()
    assert not (project / "ran").exists()
    assert ask(mode=mode, is_trusted=True).status is Status.COMPLETED


def test_what_git_says_no_to_afterwards_does_not_take_the_result_away(
    fake: Fake, ask: Ask, project: Path
) -> None:
    fake("import shutil; shutil.rmtree('.git'); result('It is gone.')")
    done = ask(mode="full")
    assert (done.status, done.output_data["files_changed"]) == (Status.COMPLETED, None)
    assert done.headline == "It is gone."


def test_a_trusted_project_brings_its_own_settings(fake: Fake, ask: Ask, project: Path) -> None:
    (project / "CLAUDE.md").write_text("Be brief.\n")
    program = fake("result()")
    ask(is_trusted=True)
    assert "--setting-sources=user,project" in argv(program)
    assert not [word for word in argv(program) if word.startswith(("--strict", "--append"))]
    assert "GIT_CONFIG_COUNT" not in json.loads((program.parent / "env").read_text())


NOTES = """
path = next(word.partition("=")[2] for word in sys.argv if word.startswith("--append-system-prompt-file="))
keep("notes", open(path).read()); keep("place", path); result()
"""


def test_claude_md_and_agents_md_are_handed_over_as_text(
    fake: Fake, ask: Ask, project: Path, tmp_path: Path
) -> None:
    program = fake(NOTES)
    (project / "CLAUDE.md").write_text("Be brief.\n")
    (project / "docs" / "CLAUDE.md").write_text(
        "Be kind. \udcff".encode("utf-8", "surrogateescape").decode("latin-1")
    )
    (project / "AGENTS.md").symlink_to("CLAUDE.md")
    (project / "docs" / "AGENTS.md").write_text("Be sure.\n")
    ask(directory=project / "docs")
    said = (program.parent / "notes").read_text().split("\n\n")
    assert (said[0], said[1][:8], said[2]) == ("Be brief.", "Be kind.", "Be sure.")
    assert not Path((program.parent / "place").read_text()).exists()
    assert "Handed over as text: CLAUDE.md, AGENTS.md\n" in log(tmp_path)


@pytest.mark.parametrize("kind", ["link out", "folder", "fifo", "missing", "blank"])
def test_a_claude_md_that_is_no_file_of_the_project_is_left_alone(
    fake: Fake, ask: Ask, project: Path, tmp_path: Path, kind: str
) -> None:
    program = fake("result()")
    path = project / "CLAUDE.md"
    (tmp_path / "secret").write_text("secret")
    if kind == "link out":
        path.symlink_to(tmp_path / "secret")
    elif kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        import os  # noqa: PLC0415

        os.mkfifo(path)
    elif kind == "blank":
        path.write_text("  \n")
    assert ask().status is Status.COMPLETED
    assert not [word for word in argv(program) if word.startswith("--append")]


@pytest.mark.parametrize(
    ("tools", "allowed", "words"),
    [
        (["Bash(pytest:*)"], (), "allows no tool 'Bash(pytest:*)'; claude_tools in policy.toml has none"),
        (["Bash(pytest:*)"], ("Bash(ls:*)",), "has Bash(ls:*)"),
        (["a,Bash"], ("a,Bash",), "allows no tool"), (["--help"], ("--help",), "allows no tool"),
        (["Bash"], ("Bash",), "could run anything"), (["*"], ("*",), "could run anything"),
        (["Bash(*)"], ("Bash(*)",), "could run any"), (["Bash(:*)"], ("Bash(:*)",), "could run any"),
        (["Bash(git:*)"], ("Bash(git:*)",), "mode full"), (["Bash(git *)"], ("Bash(git *)",), "mode full"),
        (["Bash(python3:*)"], ("Bash(python3:*)",), "mode full"),
        (["Bash(sudo sh:*)"], ("Bash(sudo sh:*)",), "mode full"),
    ],
)  # fmt: skip
def test_a_tool_that_the_machine_does_not_allow_is_refused(
    project: Path, tools: list[str], allowed: tuple[str, ...], words: str
) -> None:
    with pytest.raises(actions.Rejected, match=re.escape(words)):
        admitted(project, tools, allowed)


def admitted(project: Path, tools: list[str], allowed: tuple[str, ...]) -> Action:
    rules = Policy(
        version=1,
        projects={"garden": Project(path=str(project), claude=("review",), claude_tools=allowed)},
    )
    return admit(rules, "phone", "claude_code", {"prompt": "x", "allowed_tools": tools}).action


def test_a_tool_that_the_machine_allows_is_allowed(fake: Fake, ask: Ask, project: Path) -> None:
    program = fake("result()")
    tools = ["Bash(npm test:*)"]
    admitted(project, tools, ("Bash(npm test:*)", "Bash(pytest:*)"))
    ask(allowed_tools=tools)
    assert "--allowedTools=Bash(npm test:*)" in argv(program)
    ask()
    assert not [word for word in argv(program) if word.startswith("--allowedTools")]


HUGE = """
say(type="assistant", message={"content": [
    {"type": "tool_use", "name": "Write", "input": {"file_path": "big", "content": "x" * 3_000_000}}]})
say(type="user", message={"content": [{"type": "tool_result", "content": "y" * 2_000_000}]})
text("After it."); result("All of it.")
"""


def test_lines_of_megabytes_become_short_lines(fake: Fake, ask: Ask, tmp_path: Path) -> None:
    fake(HUGE)
    done = ask()
    assert (done.status, done.output_data["answer"]) == (Status.COMPLETED, "All of it.")
    assert log(tmp_path).startswith("▸ Write big\n  ✓ yyy")
    assert "After it.\n" in log(tmp_path)
    assert len(log(tmp_path)) < 1_000


STRANGE = """
print("no json"); print("{broken"); print("[1]"); print(""); print("{" * 100_000); print('{"a":' * 100_000)
for event in ({"type": "new"}, {"type": None}, {"type": ["x"]}, {"type": "assistant"}, {"type": "result_"},
              {"type": "system", "subtype": "future"}, {"type": "user", "message": 5},
              {"type": "assistant", "message": {"content": [None, 5, {"type": "thinking", "x": "hm"}]}},
              {"type": "rate_limit_event"}, {"type": "stream_event", "event": {}}):
    say(**event)
sys.stdout.buffer.write(b"\\xff\\xfe\\n"); sys.stdout.flush()
result("Still here.")
"""


def test_what_is_not_known_is_ignored(fake: Fake, ask: Ask, tmp_path: Path) -> None:
    fake(STRANGE)
    done = ask()
    assert (done.status, done.headline) == (Status.COMPLETED, "Still here.")
    assert log(tmp_path).startswith("── completed")


BACKGROUND = """
text("First."); result("First.", total_cost_usd=1, model_usage_since_last_result={"a": {"costUSD": 1.0}})
say(type="system", subtype="task_notification"); time.sleep(0.2)
say(type="system", subtype="init", session_id="x", tools=[], model="m", permissionMode="p")
text("Second."); time.sleep(0.5)
costs = {"a": {"costUSD": 0.25}, "b": {"costUSD": 0.25}}
result("Second.", total_cost_usd=1.5, model_usage_since_last_result=costs)
"""


def test_of_several_results_the_last_one_counts_and_costs_add_up(fake: Fake, ask: Ask) -> None:
    fake(BACKGROUND)
    done = ask()
    assert (done.status, done.output_data["answer"], done.output_data["cost_usd"]) == (
        Status.COMPLETED, "Second.", 1.5,
    )  # fmt: skip


LINGER = """
pid = os.fork()
if pid == 0:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP): signal.signal(number, signal.SIG_IGN)
    keep("child", str(os.getpid()))
    time.sleep(300)
while not os.path.exists(os.path.join(HERE, "child")): time.sleep(0.01)
{script}
"""


def child_of(program: Path) -> int:
    return int(wait_until((program.parent / "child").read_text, "the child is there"))


def test_one_that_stays_after_its_result_is_ended_and_counts(fake: Fake, ask: Ask) -> None:
    program = fake(LINGER.format(script="result('It is done.'); time.sleep(300)"))
    done = ask()
    assert (done.status, done.headline, done.output_data["ended"]) == (
        Status.COMPLETED, "It is done.", "success",
    )  # fmt: skip
    assert not is_alive(child_of(program))


def test_one_that_leaves_a_process_behind_leaves_nothing(fake: Fake, ask: Ask) -> None:
    program = fake(LINGER.format(script="result()"))
    assert ask().status is Status.COMPLETED
    assert not is_alive(child_of(program))


@pytest.mark.parametrize(
    ("heed", "returncode"),
    [
        ("signal.signal(signal.SIGINT, interrupted)", 0),
        ("signal.signal(signal.SIGINT, signal.SIG_IGN)", -15),
        ("[signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGTERM)]", -9),
    ],
    ids=["at SIGINT", "at SIGTERM", "at SIGKILL"],
)
def test_it_can_be_stopped_and_the_session_is_known(
    fake: Fake, ask: Ask, tmp_path: Path, heed: str, returncode: int
) -> None:
    program = fake(LINGER.format(script=f"{heed}; text('Working.'); time.sleep(300)"))
    done = ask(stop=lambda: "Working." in log(tmp_path))
    assert (done.status, done.reason, done.output_data["ended"]) == (Status.CANCELLED, None, "stopped")
    assert (done.output_data["returncode"], done.output_data["answer"]) == (returncode, "Working.")
    assert f"session {done.output_data['session_id']}" in log(tmp_path)
    assert done.output_data["cost_usd"] == (0.25 if returncode == 0 else None)
    assert not is_alive(child_of(program))


def test_as_soon_as_there_is_a_session_it_is_written_down(fake: Fake, project: Path, tmp_path: Path) -> None:
    kept: list[dict[str, Any]] = []
    job = Job(
        project, project, tmp_path / "log", "kept:1-1", lambda: False, keep=lambda one: kept.append(dict(one))
    )
    fake("sys.exit(1)")
    ClaudeCode(prompt="x").run(job)
    assert kept == []
    fake("say(type='system', subtype='init', session_id='x', tools=[]); result()")
    done = ClaudeCode(prompt="x").run(job)
    assert kept == [{"session_id": done.output_data["session_id"], "mode": "review"}]


def test_stopped_is_stopped_even_when_it_says_success(fake: Fake, ask: Ask, tmp_path: Path) -> None:
    script = (
        "signal.signal(signal.SIGINT, lambda *_: (result('Done!'), sys.exit(0))); text('Up'); time.sleep(300)"
    )
    fake(script)
    assert ask(stop=lambda: "Up" in log(tmp_path)).status is Status.CANCELLED


def test_time_is_up_and_silence_is_shown(
    fake: Fake, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SILENCE_S", 0.3)
    monkeypatch.setattr("worker.actions.claude_code.work.QUIET_S", 0.1)
    fake("signal.signal(signal.SIGINT, interrupted); text('Up'); time.sleep(300)")
    done = ask(timeout=1.2)
    assert (done.status, done.reason) == (Status.FAILED, Reason.TIMED_OUT)
    assert "longer than 1.2 seconds and was stopped after" in done.error
    assert "seconds without output; a longer timeout may be given, and session" in done.error
    assert 1 <= log(tmp_path).count("… no output for") <= 3
    assert (done.output_data["ended"], done.output_data["cost_usd"]) == ("timed_out", 0.25)


@pytest.mark.parametrize(
    ("script", "reason", "words"),
    [
        ("sys.stderr.write('error: unknown option'); sys.exit(1)", "exit_status",
         "exit status 1 before it had a result: error: unknown option; run claude on this machine"),
        ("sys.exit(0)", "exit_status", "exit status 0 before it had a result and printed no error"),
        ("text('Half way'); os.kill(os.getpid(), 9)", "exit_status", "ended by signal 9 (SIGKILL)"),
        ("sys.exit('--dangerously-skip-permissions cannot be used with root/sudo privileges')", "rejected",
         "does not work in mode full as root; run the worker as an ordinary user"),
        ("result('Not logged in · Please run /login', is_error=True); sys.exit(1)", "error", "/login"),
        ("result(subtype='error_max_turns', is_error=True, errors=['x'])", "error", "more"),
        ("result(is_error=None)", "error", "The API could not be reached"),
        ("say(type='result')", "error", "could not go on"),
    ],
)  # fmt: skip
def test_what_is_no_success_is_failed_with_a_sentence(
    fake: Fake, ask: Ask, script: str, reason: str, words: str
) -> None:
    fake(script)
    done = ask()
    assert isinstance(done, Outcome)
    assert (done.status, done.reason, done.headline) == (Status.FAILED, reason, None)
    assert words in str(done.error)


def test_the_exit_status_alone_says_nothing(fake: Fake, ask: Ask) -> None:
    fake("result('Fine.'); sys.exit(3)")
    done = ask()
    assert (done.status, done.output_data["returncode"]) == (Status.COMPLETED, 3)


def test_what_was_denied_is_said_first(fake: Fake, ask: Ask) -> None:
    fake(
        "denial = {'tool_name': 'Write', 'tool_input': {'file_path': '/x/y'}}\n"
        "result('I wrote it.', permission_denials=[denial])"
    )
    done = ask()
    assert (done.status, done.output_data["denied"]) == (Status.COMPLETED, ["Write /x/y"])
    assert done.headline == "It was not allowed to use Write. I wrote it."


CHANGE = """
import subprocess
def git(*words):
    subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@example.invalid", *words], check=True)
open("made é.txt", "w").write("new"); open("note.txt", "a").write("more\\n")
os.mkdir("sub"); open("sub/b", "w").close()
{more}
result("Changed.")
"""


def test_changed_files_are_what_git_says(fake: Fake, ask: Ask, project: Path, tmp_path: Path) -> None:
    (project / "docs" / "read.txt").write_text("changed before\n")
    (project / "old.txt").write_text("there before\n")
    fake(CHANGE.format(more=""))
    done = ask(mode="edit")
    assert done.output_data["files_changed"] == ["made é.txt", "note.txt", "sub/b"]
    assert "note.txt | 1 +" in done.output_data["diffstat"]
    assert " made é.txt | new\n" in done.output_data["diffstat"]
    patch = done.output_data["patch"]
    assert "\n one\n+more\n" in patch
    assert "+++ b/made é.txt\n@@ -0,0 +1,1 @@\n+new\n" in patch
    assert "changed before" not in patch
    assert done.headline == "3 files changed. Changed."
    assert "3 files changed · session" in log(tmp_path)


def test_changes_are_seen_when_they_are_committed_too_and_from_a_folder_below(
    fake: Fake, ask: Ask, project: Path
) -> None:
    git(project, "mv", "docs/read.txt", "docs/re ad.txt")
    fake(CHANGE.format(more="git('add', '.'); git('commit', '-qm', 'x'); open('../note.txt', 'w').close()"))
    done = ask(mode="full", directory=project / "docs")
    assert done.output_data["files_changed"] == [
        "docs/made é.txt", "docs/note.txt", "docs/re ad.txt", "docs/read.txt", "docs/sub/b", "note.txt",
    ]  # fmt: skip


def test_what_was_changed_before_and_again_is_a_change_and_what_was_put_back_too(
    fake: Fake, ask: Ask, project: Path
) -> None:
    (project / "note.txt").write_text("changed before\n")
    (project / "docs" / "read.txt").write_text("changed before\n")
    fake("open('note.txt', 'a').write('x'); open('docs/read.txt', 'w').write('read\\n'); result()")
    assert ask(mode="edit").output_data["files_changed"] == ["docs/read.txt", "note.txt"]


def test_what_git_does_not_tell_of_the_change_takes_nothing_away_from_the_result(
    fake: Fake, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A tracked folder that became a link: git diff of what was in it would be refused.
    fake("os.rename('docs', 'real'); os.symlink('real', 'docs'); result(result='All done.')")
    done = ask(mode="edit")
    assert (done.status, done.output_data["answer"]) == (Status.COMPLETED, "All done.")
    assert "docs/read.txt" in done.output_data["files_changed"]
    run = changes.Git.run

    def cannot(git: changes.Git, job: Job) -> Any:
        if "diff" in str(git.command):
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return run(git, job)

    monkeypatch.setattr(changes.Git, "run", cannot)
    fake("open('more.txt', 'w').write('x'); result(result='More.')")
    assert ask(mode="edit").output_data["answer"] == "More."


def test_without_a_repository_or_a_commit_it_works_all_the_same(fake: Fake, ask: Ask, project: Path) -> None:
    import shutil  # noqa: PLC0415

    shutil.rmtree(project / ".git")
    fake("open('new', 'w').close(); result()")
    done = ask(mode="edit")
    assert (done.status, done.output_data["files_changed"]) == (Status.COMPLETED, None)
    git(project, "init", "-q")
    fake("open('newer', 'w').close(); result()")
    done = ask(mode="edit")
    assert (done.output_data["files_changed"], done.output_data["diffstat"]) == (["newer"], " newer | new\n")


def test_a_project_that_became_a_link_meanwhile_is_not_looked_into(
    fake: Fake, ask: Ask, project: Path, tmp_path: Path
) -> None:
    other = make_project(tmp_path / "other")
    fake(
        f"os.rename({str(project)!r}, {str(tmp_path / 'moved')!r})\n"
        f"os.symlink({str(other)!r}, {str(project)!r}); result()"
    )
    told = ask(mode="edit").output_data
    assert (told["files_changed"], told["diffstat"]) == (None, None)
    assert "new.txt" not in json.dumps(told)


def test_a_patch_leads_nowhere_else_and_has_an_end(fake: Fake, ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("not of this project")
    fake(
        f"os.symlink({str(tmp_path / 'elsewhere')!r}, 'a link'); open('b.bin', 'wb').write(b'x\\0y')\n"
        "open('c.txt', 'w').write('l\u00f6ng\\n' * 20_000); open('d.txt', 'w').write('later'); result()"
    )
    patch = ask(mode="edit").output_data["patch"]
    assert "not of this project" not in patch
    assert patch.count("It is no text\n") == 2
    assert patch.count("[the rest is left out]\n") == 1
    assert (len(patch) < 61_000, "later" in patch) == (True, False)


def test_a_review_does_not_claim_changes_that_others_made(fake: Fake, ask: Ask) -> None:
    fake("open('new', 'w').close(); result()")
    assert ask().output_data["files_changed"] is None


def test_it_costs_little_more_than_the_program_itself(fake: Fake, ask: Ask) -> None:
    fake("result()")
    ask()
    times = []
    for _ in range(3):
        begun = time.monotonic()
        ask()
        times.append(time.monotonic() - begun)
    assert min(times) < 1


class Parrot:
    """Another assistant, to see that it needs nothing but an adapter."""

    name = "Parrot"

    def probe(self, job: Job) -> Path:
        return Path("/bin/cat")

    def command(self, program: Path, ask: agent.Ask, notes: Path | None) -> agent.Call:
        words = f"say {ask.prompt}\n"
        return agent.Call((str(program),), words.encode(), {}, ((signal.SIGINT, 1.0),))

    def parse(self, line: str, directory: str, clean: agent.Clean) -> list[agent.Event]:
        return [agent.Event(agent.Kind.TEXT, line.removeprefix("say "))]

    def outcome(self, ended: agent.Ended) -> agent.Verdict:
        return agent.Verdict("success", answer=ended.text)


def test_another_assistant_is_one_more_adapter(project: Path, tmp_path: Path) -> None:
    job = Job(project, project, tmp_path / "log", "parrot:1-1", lambda: False)
    done = perform(Parrot(), agent.Ask("Good morning", "review", "5"), job, 10)
    assert (done.status, done.headline, done.output_data["answer"]) == (
        Status.COMPLETED, "Good morning", "Good morning",
    )  # fmt: skip
    assert log(tmp_path).startswith("Good morning\n── completed after 0 s · session 5\n")
