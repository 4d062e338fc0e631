"""What git said, in a few words for the ear (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from worker.actions.said import capital, count, spelled

_HASH = "[0-9a-f]{7,64}"
_SHORTSTAT = re.compile(
    r"^ (\d{1,7}) files? changed(?:, (\d{1,9}) insertions?\(\+\))?(?:, (\d{1,9}) deletions?\(-\))?$",
    re.MULTILINE,
)


def headline(subcommand: str, stdout: str, stderr: str = "") -> str | None:
    """A short sentence about what a git command said that went well; None when there is none."""
    if subcommand in _BY_STDERR:
        return _BY_STDERR[subcommand](stderr)
    return _BY_STDOUT[subcommand](stdout) if subcommand in _BY_STDOUT else None


def complaint(stdout: str, stderr: str) -> str | None:
    """A short sentence about what a git command said that failed; None when there is none."""
    if rejected := re.search(
        r"^ ! \[rejected\] +(\S{1,60}) .*\((fetch first|non-fast-forward)\)", stderr, re.MULTILINE
    ):
        return f"The remote has commits on {rejected[1]} that are not here; pull first."
    if conflicts := len(re.findall(r"^CONFLICT ", stdout, re.MULTILINE)):
        return f"There {'is' if conflicts == 1 else 'are'} {count(conflicts, 'conflict')} to resolve."
    if "nothing to commit" in stdout:
        return "There is nothing to commit."
    if "no changes added to commit" in stdout or "nothing added to commit" in stdout:
        return "Nothing is staged; add the changes first."
    # The first complaint is the cause; what follows are hints and consequences.
    found = re.search(r"^(?:fatal|error): (.{1,150}?)(?: \(|[.:]?$)", stderr, re.MULTILINE)
    if found:
        return f"{capital(found[1])}."
    return next((line.strip()[:150] for line in stderr.splitlines() if re.match(r"[A-Z]\w* ", line)), None)


def _status(stdout: str) -> str | None:
    if stdout.startswith("## ") or re.match(r"[ MADRCUT?!]{2} ", stdout):
        return _short_status(stdout)
    branch = re.match(r"(?:On branch (\S{1,100})|HEAD detached )", stdout)
    if branch is None:
        return None
    place = f"On branch {branch[1]}" if branch[1] else "On no branch"
    conflicts = len(
        re.findall(
            r"^\t(?:both|added|deleted) (?:modified|added|deleted|by us|by them):", stdout, re.MULTILINE
        )
    )
    new, changed = _listed(stdout)
    found = _found(conflicts, len(changed), len(new))
    return f"{place}{_distance(stdout)}{_midway(stdout)}, {found}."


def _found(conflicts: int, changed: int, new: int) -> str:
    parts = [count(conflicts, "conflict")] if conflicts else []
    parts += [f"{count(changed, 'file')} changed"] if changed else []
    parts += [count(new, "new file")] if new else []
    return _and(parts) or "nothing to commit"


def _short_status(stdout: str) -> str:
    first = re.match(r"## (?:No commits yet on )?(\S{1,100}?)(?:\.\.\.|\s)", stdout)
    letters = [line[:2] for line in stdout.splitlines() if re.match(r"[ MADRCUT?!]{2} ", line)]
    new = letters.count("??")
    conflicts = sum(1 for pair in letters if "U" in pair or pair in {"AA", "DD"})
    changed = len(letters) - new - letters.count("!!") - conflicts
    away = re.findall(r"(ahead|behind) (\d{1,7})", stdout.partition("\n")[0]) if first else []
    parts = [f"on branch {first[1]}"] if first else []
    parts += [f"{count(int(number), 'commit')} {where}" for where, number in away]
    return capital(f"{', '.join([*parts, _found(conflicts, changed, new)])}.")


def _distance(stdout: str) -> str:
    if one := re.search(r"^Your branch is (ahead|behind) .* by (\d{1,7}) commit", stdout, re.MULTILINE):
        return f", {count(int(one[2]), 'commit')} {one[1]}"
    if both := re.search(r"^and have (\d{1,7}) and (\d{1,7}) different commits each", stdout, re.MULTILINE):
        return f", {count(int(both[1]), 'commit')} ahead and {spelled(int(both[2]))} behind"
    return ""


def _midway(stdout: str) -> str:
    """What the repository is in the middle of."""
    for sign, what in (
        ("rebas", "rebase"),
        ("cherry-pick", "cherry-pick"),
        ("revert", "revert"),
        ("bisect", "bisect"),
    ):
        if re.search(
            rf"^(?:You are currently {sign}|interactive {sign}.* in progress)", stdout, re.MULTILINE
        ):
            return f", in the middle of a {what}"
    if re.search(r"^No commits yet", stdout, re.MULTILINE):
        return ", no commits yet"
    is_merging = re.search(
        r"^(?:You have unmerged paths|All conflicts fixed but you are still merging)", stdout, re.MULTILINE
    )
    return ", in the middle of a merge" if is_merging else ""


def _listed(stdout: str) -> tuple[set[str], set[str]]:
    """The untracked and the changed files that `git status` lists, each once."""
    before, _, untracked = stdout.partition("\nUntracked files:")
    before = before.partition("\nUnmerged paths:")[0]
    changed = {line.partition(":")[2].strip() for line in before.splitlines() if line.startswith("\t")}
    return {line.strip() for line in untracked.splitlines() if line.startswith("\t")}, changed


def _log(stdout: str) -> str | None:
    commits = len(re.findall(rf"^[*|/\\ ]*commit {_HASH}", stdout, re.MULTILINE))
    commits = commits or len(re.findall(rf"^[*|/\\ ]*{_HASH} ", stdout, re.MULTILINE))
    subject = re.search(
        rf"^[*|/\\]*    (\S.{{0,80}})|^[*|/\\ ]*{_HASH} (?:\([^)]*\) )?(.{{1,80}})", stdout, re.MULTILINE
    )
    if not commits or subject is None:
        return None
    said = (subject[1] or subject[2]).strip().rstrip(".")
    if commits == 1:
        return f"The latest commit says: {said}."
    return capital(f"{count(commits, 'commit')}; the latest says: {said}.")


def _commit(stdout: str) -> str | None:
    made = re.search(rf"^\[(\S{{1,100}})(?: \(root-commit\))? {_HASH}\] (.{{1,80}})", stdout, re.MULTILINE)
    return f"Committed on {made[1]}: {made[2].strip().rstrip('.')}." if made else None


def _diff(stdout: str) -> str | None:
    if not stdout.strip():
        return "There are no differences."
    if stat := _stat(stdout):
        return stat
    files = len(re.findall(r"^diff --git ", stdout, re.MULTILINE))
    return capital(f"{count(files, 'file')} changed.") if files else None


def _stat(stdout: str) -> str | None:
    found = _SHORTSTAT.search(stdout)
    if found is None:
        return None
    files, more, less = (int(number or 0) for number in found.groups())
    parts = [f"{count(more, 'line')} added"] if more else []
    parts += [f"{count(less, 'line')} removed"] if less else []
    return capital(f"{count(files, 'file')} changed{', ' + _and(parts) if parts else ''}.")


def _merge(stdout: str) -> str | None:
    if "up to date" in stdout:
        return "Already up to date."
    return _stat(stdout)


def _push(stderr: str) -> str | None:
    if "Everything up-to-date" in stderr:
        return "There was nothing to push."
    pushed = re.findall(r"^ [ +*=-] .*\S +(\S{1,100}) -> \S", stderr, re.MULTILINE)
    return f"Pushed {_and(pushed[:3])}." if pushed else None


def _fetch(stderr: str) -> str | None:
    news = re.findall(r"^ [ +*t-] .* -> (?:[^/\s]+/)?(\S{1,100})", stderr, re.MULTILINE)
    return f"There is news on {_and(news[:3])}." if news else "Nothing new."


def _switch(stderr: str) -> str | None:
    found = re.search(
        r"^(Switched to|Already on|Reset)(?: a new)?(?: branch)? '(\S{1,100})'", stderr, re.MULTILINE
    )
    return f"{'Already' if found[1] == 'Already on' else 'Now'} on branch {found[2]}." if found else None


def _branch(stdout: str) -> str | None:
    names = re.findall(r"^[* +] (?!remotes/)\S", stdout, re.MULTILINE)
    current = re.search(r"^\* (\S{1,100})", stdout, re.MULTILINE)
    if not names or current is None:
        return None
    where = "You are on no branch" if current[1].startswith("(") else f"You are on {current[1]}"
    return f"{capital(count(len(names), 'branche' if len(names) > 1 else 'branch'))}. {where}."


def _stash(stdout: str) -> str | None:
    if stdout.startswith("Saved working directory"):
        return "Your changes are in the stash."
    if stdout.startswith("No local changes"):
        return "There was nothing to stash."
    kept = len(re.findall(r"^stash@\{\d+\}: ", stdout, re.MULTILINE))
    return capital(f"{count(kept, 'entry', 'entries')} in the stash.") if kept else None


def _files(stdout: str) -> str | None:
    found = sum(1 for line in stdout.splitlines() if line.strip())
    return capital(f"{count(found, 'file')}.") if found else None


def _grep(stdout: str) -> str | None:
    found = sum(1 for line in stdout.splitlines() if line.strip())
    return capital(f"{count(found, 'match', 'matches')}.") if found else None


def _and(parts: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


_BY_STDOUT: Mapping[str, Callable[[str], str | None]] = {
    "status": _status, "log": _log, "diff": _diff, "show": _diff, "commit": _commit, "merge": _merge,
    "pull": _merge, "branch": _branch, "stash": _stash, "grep": _grep, "ls-files": _files,
}  # fmt: skip
_BY_STDERR: Mapping[str, Callable[[str], str | None]] = {
    "push": _push, "fetch": _fetch, "switch": _switch, "checkout": _switch,
}  # fmt: skip
