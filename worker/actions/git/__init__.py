"""`git`: a git command in a project, from an allow-list, with nothing of the repository's run."""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from worker.actions.base import Action, Job, Outcome, outcome_of
from worker.actions.git.audit import Audits, Finding, has_submodules
from worker.actions.git.forced import environment, uses_network
from worker.actions.git.headlines import complaint, headline
from worker.actions.git.ignored import check_ignored
from worker.actions.git.inquiry import NOWHERE, ask
from worker.actions.git.insides import Insides
from worker.actions.git.parse import Verdict, classify
from worker.actions.git.places import check_configured, check_paths
from worker.actions.git.pulling import pull
from worker.actions.git.reference import notes
from worker.actions.git.repository import Repository, at, find, has_hooks, is_empty, nested
from worker.output import open_log
from worker.policy import Rejected
from worker.process import Completed

_AUDITS = Audits()
_INSIDES = Insides()
# One command is asked about its scope, its preview and its arguments, when it comes and when it starts.
_classify = lru_cache(32)(classify)
# A remote may be named by its address, and so it is among what git says of branches.
_TELLS_ADDRESSES = {"remote", "branch", "fetch", "pull", "push", "clone"}
_MAKES_A_REPOSITORY = {"init", "clone"}
_NEEDS_NONE = {*_MAKES_A_REPOSITORY, "version"}


class Git(Action):
    """Run a git command in a project. Reading, writing and what needs a person's yes are told apart."""

    action_type: ClassVar[str] = "git"

    command: (
        Annotated[str, Field(min_length=1, max_length=16_384)]
        | Annotated[list[str], Field(min_length=1, max_length=100)]
    )
    """The command, beginning with `git`: a list of words, or a string that is split as a shell
    would split it. No shell is involved."""

    @classmethod
    def notes(cls) -> str:
        """The table of what is allowed."""
        return notes()

    @property
    def scope(self) -> str:
        return f"git.{self._verdict().access}"

    @property
    def preview(self) -> str:
        verdict = self._verdict()
        if verdict.access == "approval":
            # What a person says yes to is what git will be given, not how it was said.
            return shlex.join(verdict.argv)
        return self.command if isinstance(self.command, str) else shlex.join(self.command)

    def run(self, job: Job) -> Outcome:
        verdict = self._verdict()
        repository = _place(job, verdict)
        skipped = False
        if repository is not None:
            skipped = _audit(job, verdict, repository)
            check_paths(job, verdict, repository)
            check_ignored(job, verdict, repository)
        hooks = job.is_trusted and verdict.access != "read"
        env = environment(verdict, repository, hooks=hooks, ssh=_ssh(job, verdict))
        with _own_index(verdict, repository) as index:
            completed = _run(job, verdict, repository, self.timeout, {**env, **index})
        return _told(verdict, completed, self.timeout, skipped=skipped)

    def _verdict(self) -> Verdict:
        try:
            words = shlex.split(self.command) if isinstance(self.command, str) else self.command
        except ValueError as problem:
            raise Rejected(f"The command cannot be split into words: {problem}; send a list") from None
        verdict = _classify(tuple(words))
        if verdict.access == "denied":
            raise Rejected(verdict.why)
        return verdict


def _place(job: Job, verdict: Verdict) -> Repository | None:
    """Where the command works; None when it needs no repository. Raises Rejected."""
    if verdict.subcommand not in _NEEDS_NONE:
        return find(job.directory, job.root, job.roots, is_trusted=job.is_trusted)
    if verdict.subcommand in _MAKES_A_REPOSITORY:
        folder = verdict.argv[-1] if not verdict.argv[-1].startswith("-") else ""
        # A link could lead out of the project, an old repository would be configured anew.
        taken = job.directory / folder if folder else job.directory / ".git"
        if os.path.lexists(taken):
            raise Rejected(f"{taken} is there already; git {verdict.subcommand} makes new ones only")
    return None


def _audit(job: Job, verdict: Verdict, repository: Repository) -> bool:
    """Whether the repository has hooks that will not run. Raises Rejected when its configuration
    names programs that cannot be kept from running."""

    def read(words: tuple[str, ...]) -> tuple[int, str, str]:
        return ask(job, verdict, words)

    if job.is_trusted:
        _AUDITS.check(repository, read, is_trusted=True)
        return False
    roots = (job.root, *job.roots)

    def check(one: Repository) -> Finding:
        _INSIDES.check(one, tuple(map(str, roots)))
        return _AUDITS.check(one, read)

    finding = check(repository)
    check_configured(repository, finding.files)
    if verdict.access != "read" and has_submodules(repository):
        # git add, stash and merge look into submodules, where filters have names of their own.
        for folder in nested(repository.top):
            if inner := at(folder, roots):
                check(inner)
            elif not is_empty(folder):
                raise Rejected(
                    f"{folder} has a .git that is no repository for us and may be one for git, so it cannot "
                    "be looked at before git does; repair it (git status there says how) or move it away"
                )
    return verdict.access != "read" and (finding.hooks is not None or has_hooks(repository))


def _ssh(job: Job, verdict: Verdict) -> str:
    """How the owner calls ssh: from their own configuration, never from the repository's."""
    if not uses_network(verdict):
        return "ssh"
    status, stdout, _ = ask(job, verdict, ("config", "--global", "--get", "core.sshCommand"))
    return stdout.strip() if status == 0 and stdout.strip() else "ssh"


def _told(verdict: Verdict, completed: Completed, timeout: float, *, skipped: bool) -> Outcome:
    """The outcome with a headline for the ear, and with what was left out."""
    if completed.returncode != 0:
        outcome = outcome_of(completed, timeout)
        why = complaint(completed.stdout, completed.stderr)
        return replace(outcome, headline=why) if why and outcome.headline else outcome
    outcome = outcome_of(completed, timeout, headline(verdict.subcommand, completed.stdout, completed.stderr))
    if not skipped:
        return outcome
    said = outcome.headline
    if verdict.subcommand == "commit" and said:
        said = f"{said} Hooks were skipped."
    return replace(outcome, headline=said, output_data={**outcome.output_data, "hooks": "skipped"})


@contextmanager
def _own_index(verdict: Verdict, repository: Repository | None) -> Iterator[Mapping[str, str]]:
    """A copy of the index for `git diff`, which rewrites it even when optional locks are off: it
    would make a commit that runs at the same time fail, and reading is to change nothing."""
    index = repository.git_dir / "index" if repository else None
    if verdict.subcommand != "diff" or index is None or not index.is_file():
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="ai-webhook-") as folder:
        copy = Path(folder) / "index"
        with index.open("rb") as file:
            times = os.fstat(file.fileno())
            copy.write_bytes(file.read())
        # git compares this time with those of the files to find out which ones it must look into.
        os.utime(copy, ns=(times.st_atime_ns, times.st_mtime_ns))
        yield {"GIT_INDEX_FILE": str(copy)}


def _run(
    job: Job, verdict: Verdict, repository: Repository | None, timeout: float, env: Mapping[str, str]
) -> Completed:
    def run(argv: Sequence[str], timeout: float, more: Mapping[str, str]) -> Completed:
        # Addresses of remotes may hold passwords, which must not even get into the log. What everything
        # else prints is cleaned of them as all output is (`worker.redact`), which leaves code as it is: in
        # files, https://example.com/@scope/x is no password.
        done = replace(job, log=NOWHERE).run(argv, timeout=timeout, env={**env, **more})
        clean = replace(done, stdout=_without_passwords(done.stdout), stderr=_without_passwords(done.stderr))
        with open_log(job.log) as log:
            os.write(log, (clean.stdout + clean.stderr).encode())
        return clean

    if verdict.subcommand == "pull" and repository is not None:
        return pull(job, verdict, repository, timeout, run)
    if verdict.subcommand in _TELLS_ADDRESSES:
        return run(verdict.argv, timeout, {})
    return job.run(verdict.argv, timeout=timeout, env=env)


def _without_passwords(text: str) -> str:
    # Not by one pattern: a text full of beginnings of addresses would take it quadratic time.
    return re.sub(r"\S+", lambda word: _without_password(word[0]), text)


def _without_password(word: str) -> str:
    # Up to the last @, since a password may hold anything that its owner forgot to write as %40 or %2F.
    begin, end = word.find("://"), word.rfind("@")
    return word if begin == -1 or end < begin else word[: begin + 3] + word[end + 1 :]
