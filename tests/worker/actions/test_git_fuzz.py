"""What the rule calls reading is given to real git, in a repository full of traps: no program may run,
no file may change, nothing of what lies outside may be seen.

`make test` runs a short form, `make fuzz` (FUZZ=long) the long one. FUZZ_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import re
import shlex
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.traps import SECRET, Trap, snapshot, words
from worker.actions.base import Outcome
from worker.actions.git.parse import RULES, classify
from worker.actions.git.rules import Rule

LONG = os.environ.get("FUZZ") == "long"
# The short form is the same each time: whoever changes something else shall not meet its findings.
SEED = int(os.environ.get("FUZZ_SEED") or (random.SystemRandom().randrange(10**9) if LONG else 3))
READS, WRITES, TRACED = (5_000, 1_000, 300) if LONG else (100, 25, 15)

Do = Callable[..., Outcome]

PLAIN = words(
    """
    HEAD HEAD~1 HEAD^ main dev feature/x v1.0 v2.0 origin/main main..dev main...dev ^dev @ stash@{0} 0
    1 docs note.txt a.txt b.txt new.txt link link/x link.txt sub docs/read.txt . HEAD:note.txt main:docs :/x x
    *.txt line origin other 3 10 90% 1,5 :main short iso raw oneline reference yesterday 2026-01-01
    refname -committerdate %H%x09%s tformat:%h format:%an %(refname:short) plain no all AM histogram v* list
    show get-url push pop
    """
)
NASTY = words(
    """
    --output=PWNED --output PWNED -oPWNED --ext-diff --textconv --no-index --submodule=diff --submodule=log
    --ignore-submodules=none --ignore-submodules --recurse-submodules --show-signature --format=%G?
    --pretty=mine --pretty=format:%GS --format=%(signature) --sort=signature --open-files-in-pager=PROGRAM
    -OPROGRAM -O --exec=PROGRAM --upload-pack=PROGRAM --help -h -c core.pager=PROGRAM --paginate -p --edit
    -e -i --contents=link.txt --ignore-revs-file=link.txt -S link.txt -f link.txt --exclude-from=link.txt -X
    link.txt --dirty --broken --stdin --batch --filters --git-path x --parseopt --sq-quote --no-dry-run -f
    --force --dry-run -n -x -d --edit-description --no-list --column --color=always --format=%(describe)
    --glob=* --reflog -g --walk-reflogs --log-size --use-bitmap-index --ope=PROGRAM --outp=PWNED /etc/passwd
    ../outside/secret.txt link/secret.txt ext::PROGRAM https://x/y -- - '' ~ :(top) -1 --committer --author
    --grep --since -L -C -M --date=format:%Y .git .git/config .git/hooks/pre-commit .GIT/config sub/.git
    git~1/config ignored.txt main:link HEAD:link.txt docs/../link/secret.txt link/. --abort
    """
)


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home and a folder for temporary files of their own, so that what is written there shows."""
    for name in ("home", "temporary"):
        (tmp_path / name).mkdir()
    (tmp_path / "home" / ".gitconfig").write_text("[user]\nname = Test\nemail = test@example.invalid\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


def options_of_git(subcommand: str) -> list[str]:
    """Every long option that this git itself knows for a sub-command, allowed here or not."""
    for word in ("--git-completion-helper-all", "--git-completion-helper"):
        done = subprocess.run(["git", subcommand, word], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return [one.rstrip("=") for one in done.stdout.split() if one.startswith("--") and one != "--"]
    return []


class Speaker:
    """Says git commands: mostly from the table, mixed with what git knows besides and what is nasty."""

    def __init__(self, seed: int, trap: Trap, access: str) -> None:
        self.random = random.Random(seed)
        self.said: Counter[str] = Counter()
        self._access = access
        self._program = str(trap.program)
        self._names = [name for name, rules in RULES.items() if any(one.access == access for one in rules)]
        self._known = {name: options_of_git(name) or ["--all"] for name in self._names}

    def next(self) -> list[str]:
        """A command that is called what this speaker is to say."""
        while True:
            argv = self._say()
            verdict = classify(argv)
            self.said[verdict.access] += 1
            if verdict.access == self._access:
                return argv

    def _say(self) -> list[str]:
        name = self.random.choice(self._names)
        rule = self.random.choice([one for one in RULES[name] if one.access == self._access])
        argv = ["git", name, *([rule.verb] if rule.verb and self.random.random() < 0.9 else [])]
        for _ in range(self.random.choice((0, 1, 1, 2, 2, 3, 4, 6))):
            argv += self._word(name, rule)
        if rule.one_of and self.random.random() < 0.7:
            argv += self._option(rule, self.random.choice(sorted(rule.one_of)))
        if rule.least and self.random.random() < 0.7:
            argv += [self.random.choice(PLAIN) for _ in range(rule.least)]
        if self.random.random() < 0.1:
            argv += ["--", self.random.choice((*PLAIN, "-odd", "--output=PWNED"))]
        return [word.replace("PROGRAM", self._program) for word in argv]

    def _word(self, name: str, rule: Rule) -> list[str]:
        dice = self.random.random()
        options = sorted({*rule.flags, *rule.values, *rule.optional})
        if dice < 0.55 and options:
            return self._option(rule, self.random.choice(options))
        if dice < 0.80:
            return [self.random.choice(PLAIN)]
        if dice < 0.90:
            return [self._maybe_cut(self.random.choice(self._known[name]))]
        return [self.random.choice(NASTY)]

    def _option(self, rule: Rule, option: str) -> list[str]:
        value = self._value(rule, option)
        if option in rule.flags and (option not in rule.optional or self.random.random() < 0.5):
            if not option.startswith("--") and self.random.random() < 0.3:
                letters = [one[1:] for one in sorted(rule.flags) if len(one) == 2]
                return [option + "".join(self.random.sample(letters, min(2, len(letters))))]
            return [option]
        shape = self.random.random()
        if shape < 0.45:
            return [f"{option}={value}" if option.startswith("--") else f"{option}{value}"]
        if shape < 0.9:
            return [option, value]
        return [option]

    def _value(self, rule: Rule, option: str) -> str:
        table = {**rule.optional, **rule.values}
        pool = [one for one in PLAIN if option in table and table[option].pattern.fullmatch(one)]
        return self.random.choice(pool if pool and self.random.random() < 0.85 else [*PLAIN, *NASTY])

    def _maybe_cut(self, option: str) -> str:
        return option[: self.random.randint(3, len(option))] if self.random.random() < 0.3 else option


def outside(trap: Trap, tmp_path: Path) -> tuple[Path, ...]:
    """Everything around the project; `Trap.ran` is in it."""
    return (trap.ran.parent, tmp_path / "home", tmp_path / "temporary")


def tell(what: str, speaker: Speaker, ended: Counter[str]) -> None:
    print(f"\n{what}: seed {SEED}, said {dict(speaker.said)}, of git {dict(ended)}")


def difference(before: dict[str, tuple[int, ...]], after: dict[str, tuple[int, ...]]) -> list[str]:
    return sorted(path for path in {*before, *after} if before.get(path) != after.get(path))


@pytest.mark.timeout(1_800)
def test_reading_runs_no_program_writes_no_file_and_sees_nothing_outside(
    do: Do, trap: Trap, tmp_path: Path
) -> None:
    speaker = Speaker(SEED, trap, "read")
    ended: Counter[str] = Counter()
    watched = (trap.project, *outside(trap, tmp_path))
    before = snapshot(*watched)
    for _ in range(READS):
        argv = speaker.next()
        directory = trap.project / speaker.random.choice(("", "", "", "docs"))
        outcome = do("git", root=trap.project, directory=directory, command=argv, timeout=20)
        after = snapshot(*watched)
        assert difference(before, after) == [], (SEED, shlex.join(argv), classify(argv).argv)
        assert SECRET not in str(outcome), (SEED, argv)
        assert "pass-word" not in str(outcome), (SEED, argv)
        if isinstance(outcome, str):
            # What the words do not tell, the disk does; nothing else may be refused here.
            assert "leads through the link" in outcome, (SEED, argv, outcome)
            ended["refused"] += 1
        else:
            ended["exit 0" if outcome.output_data["returncode"] == 0 else "exit otherwise"] += 1
    tell("reading", speaker, ended)
    # A fuzz whose commands all fail would prove nothing.
    assert ended["exit 0"] > READS // 3


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("access", ["write", "approval"])
def test_writing_runs_no_program_and_writes_nothing_outside(
    do: Do, trap: Trap, tmp_path: Path, access: str
) -> None:
    speaker = Speaker(SEED, trap, access)
    ended: Counter[str] = Counter()
    fresh = tmp_path / "fresh"
    shutil.copytree(trap.project, fresh, symlinks=True)
    watched = outside(trap, tmp_path)
    before = snapshot(*watched)
    for turn in range(WRITES):
        if turn % 20 == 0:
            shutil.rmtree(trap.project)
            shutil.copytree(fresh, trap.project, symlinks=True)
        argv = speaker.next()
        outcome = do("git", root=trap.project, directory=trap.project, command=argv, timeout=20)
        code = outcome.output_data["returncode"] if isinstance(outcome, Outcome) else "refused"
        ended[{0: "exit 0", "refused": "refused"}.get(code, "exit otherwise")] += 1
        assert not trap.ran.exists(), (SEED, shlex.join(argv), trap.ran.read_text())
        assert difference(before, snapshot(*watched)) == [], (SEED, shlex.join(argv))
    tell(access, speaker, ended)
    assert ended["exit 0"] > (WRITES // 20 if LONG else 0)


def can_trace() -> bool:
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-qq", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.timeout(600)
@pytest.mark.skipif(not can_trace(), reason="needs strace, and the right to use it")
def test_reading_starts_nothing_but_git_itself(
    do: Do, trap: Trap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Beyond the traps: whatever the kernel is asked to execute.
    real = shutil.which("git")
    trace = tmp_path / "trace"
    (tmp_path / "bin").mkdir()
    wrapper = tmp_path / "bin" / "git"
    wrapper.write_text(f'#!/bin/sh\nexec strace -f -qq -A -e trace=execve -o {trace} {real} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    speaker = Speaker(SEED, trap, "read")
    for _ in range(TRACED):
        argv = speaker.next()
        do("git", root=trap.project, command=argv, timeout=60)
        ran = set(re.findall(r'execve\("([^"]+)".*\) = 0', trace.read_text()))
        assert {Path(program).name for program in ran} <= {"git"}, (SEED, argv, ran)
        trace.write_text("")
    assert speaker.said["read"] == TRACED
