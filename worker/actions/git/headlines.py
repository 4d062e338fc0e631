"""What git said, in a few words for the ear (pure)."""

from __future__ import annotations

import re


def headline(subcommand: str, stdout: str) -> str | None:
    """A short sentence about *stdout* of a git command that went well; None when there is none."""
    if subcommand == "status":
        return _status(stdout)
    if subcommand == "log":
        return _log(stdout)
    if subcommand in {"diff", "show"}:
        return _diff(stdout)
    if subcommand == "commit":
        return _commit(stdout)
    return None


def _status(stdout: str) -> str | None:
    branch = re.match(r"On branch (\S{1,100})", stdout)
    if branch is None:
        return None
    place = f"On branch {branch[1]}"
    if ahead := re.search(r"^Your branch is (ahead|behind) .* by (\d+) commit", stdout, re.MULTILINE):
        place += f", {_count(int(ahead[2]), 'commit')} {ahead[1]}"
    new, changed = _listed(stdout)
    parts = [f"{_count(len(changed), 'file')} changed"] if changed else []
    parts += [f"{_count(len(new), 'new file')}"] if new else []
    return f"{place}, {' and '.join(parts) or 'nothing to commit'}."


def _listed(stdout: str) -> tuple[set[str], set[str]]:
    """The untracked and the changed files that `git status` lists, each once."""
    before, _, untracked = stdout.partition("\nUntracked files:")
    changed = {line.partition(":")[2].strip() for line in before.splitlines() if line.startswith("\t")}
    return {line.strip() for line in untracked.splitlines() if line.startswith("\t")}, changed


def _log(stdout: str) -> str | None:
    commits = re.findall(r"^commit [0-9a-f]{7,64}", stdout, re.MULTILINE)
    count = len(commits) or sum(1 for line in stdout.splitlines() if re.match(r"[0-9a-f]{7,64} ", line))
    subject = re.search(r"^    (\S.{0,80})|^[0-9a-f]{7,64} (?:\([^)]*\) )?(.{1,80})", stdout, re.MULTILINE)
    if not count or subject is None:
        return None
    said = (subject[1] or subject[2]).strip().rstrip(".")
    return f"The latest commit says: {said}." if count == 1 else f"{count} commits; the latest says: {said}."


def _commit(stdout: str) -> str | None:
    made = re.search(r"^\[(\S{1,100})(?: \(root-commit\))? [0-9a-f]{7,64}\] (.{1,80})", stdout, re.MULTILINE)
    return f"Committed on {made[1]}: {made[2].strip().rstrip('.')}." if made else None


def _diff(stdout: str) -> str | None:
    if not stdout.strip():
        return "There are no differences."
    files = len(re.findall(r"^diff --git ", stdout, re.MULTILINE))
    return f"{_count(files, 'file')} changed." if files else None


def _count(number: int, thing: str) -> str:
    return f"{'one' if number == 1 else number} {thing}" + ("" if number == 1 else "s")
