"""Which git commands may run, and how they are rebuilt."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.actions.git.rules import RULES, classify
from worker.policy import Rejected

# What is asked -> what is run after "git", forced options left out.
ALLOWED = [
    ("status", "read", "status"), ("status -s", "read", "status -s"), ("status -sb", "read", "status -s -b"),
    ("status --short --branch", "read", "status --short --branch"),
    ("status --porcelain", "read", "status --porcelain"),
    ("status --untracked-files=no", "read", "status --untracked-files=no"),
    ("status --untracked-files all", "read", "status --untracked-files=all"),
    ("status docs", "read", "status docs"), ("status -- -odd", "read", "status -- -odd"),
    ("log", "read", "log"), ("log -3", "read", "log --max-count=3"),
    ("log -n 3", "read", "log --max-count=3"),
    ("log -n3", "read", "log --max-count=3"), ("log --max-count 3", "read", "log --max-count=3"),
    ("log --max-count=3", "read", "log --max-count=3"),
    ("log --oneline --graph --all", "read", "log --oneline --graph --all"),
    ("log main..HEAD", "read", "log main..HEAD"), ("log ^main HEAD", "read", "log ^main HEAD"),
    ("log HEAD~3", "read", "log HEAD~3"), ("log HEAD^", "read", "log HEAD^"),
    ("log main...dev", "read", "log main...dev"),
    ("log --since=yesterday", "read", "log --since=yesterday"),
    ("log --since 2026-01-01", "read", "log --since=2026-01-01"),
    ("log --author=Ann", "read", "log --author=Ann"), ("log --grep=x -i", "read", "log --grep=x -i"),
    ("log -p -- docs", "read", "log -p -- docs"), ("log --pretty=oneline", "read", "log --pretty=oneline"),
    ("log --format=short", "read", "log --format=short"), ("log --stat", "read", "log --stat"),
    ("diff", "read", "diff"), ("diff --cached", "read", "diff --cached"),
    ("diff --staged", "read", "diff --staged"),
    ("diff HEAD", "read", "diff HEAD"), ("diff HEAD~1 HEAD", "read", "diff HEAD~1 HEAD"),
    ("diff a.txt b.txt", "read", "diff a.txt b.txt"),
    ("diff -U5", "read", "diff --unified=5"), ("diff -U 0", "read", "diff --unified=0"),
    ("diff --unified=5", "read", "diff --unified=5"),
    ("diff --name-only -w", "read", "diff --name-only -w"),
    ("diff --diff-filter=AM", "read", "diff --diff-filter=AM"),
    ("diff -- a", "read", "diff -- a"), ("show", "read", "show"), ("show HEAD", "read", "show HEAD"),
    ("show HEAD:note.txt", "read", "show HEAD:note.txt"), ("show --stat v1.0", "read", "show --stat v1.0"),
    ("branch", "read", "branch"), ("branch -a", "read", "branch -a"), ("branch -vv", "read", "branch -vv"),
    ("branch --show-current", "read", "branch --show-current"), ("branch --list", "read", "branch --list"),
    ("branch new", "write", "branch new"), ("branch new main", "write", "branch new main"),
    ("branch feature/x", "write", "branch feature/x"),
    ("add .", "write", "add ."), ("add -A", "write", "add -A"), ("add a b", "write", "add a b"),
    ("add -- -odd", "write", "add -- -odd"),
    ("commit -m text", "write", "commit --message=text"),
    ("commit -am text", "write", "commit -a --message=text"),
    ("commit --message=text", "write", "commit --message=text"),
    ("commit --message text", "write", "commit --message=text"),
    ("commit -mtext", "write", "commit --message=text"), ("commit -m -n", "write", "commit --message=-n"),
    ("commit -m --amend", "write", "commit --message=--amend"),
    ("commit -m a -m b", "write", "commit --message=a --message=b"),
    ("commit -m text -- a", "write", "commit --message=text -- a"),
    ("commit -q -m text a", "write", "commit -q --message=text a"),
    ("switch main", "write", "switch main"), ("switch -", "write", "switch -"),
    ("switch -c new", "write", "switch --create=new"),
    ("switch -c new main", "write", "switch --create=new main"),
    ("switch --create=new", "write", "switch --create=new"),
    ("switch --detach v1", "write", "switch --detach v1"),
    ("fetch", "write", "fetch"), ("fetch origin", "write", "fetch origin"),
    ("fetch origin main", "write", "fetch origin main"),
    ("fetch --all --prune", "write", "fetch --all --prune"), ("fetch -p", "write", "fetch -p"),
    ("pull", "write", "pull"), ("pull --ff-only", "write", "pull --ff-only"),
    ("pull origin main", "write", "pull origin main"),
]  # fmt: skip

REFUSED = [
    # no git, no sub-command, another program
    "", "status", "GIT", "git-status",
    # global options, aliases, abbreviations
    "-c core.fsmonitor=/tmp/x status", "-C /etc status", "--git-dir=/etc status", "--exec-path=/tmp status",
    "-p log",
    "--work-tree=/ status", "--config-env=a=b status", "--paginate log", "Status", "stat", "st", "",
    "/usr/bin/git", "./status", "status;", "status&&id", "$(id)",
    # never allowed
    "push", "push --force", "config -l", "config core.editor x", "clone https://x", "reset --hard",
    "checkout .", "checkout main",
    "clean -fd", "rebase -x id main", "bisect run id", "filter-branch", "submodule update",
    "worktree add /tmp/x",
    "remote add x y", "archive HEAD", "bundle create /tmp/x", "apply x", "am x", "gc", "stash",
    "stash drop", "tag x", "merge x",
    "cherry-pick x", "revert x", "restore .", "rm -rf .", "mv a b", "grep -Oid x", "help status",
    "difftool", "blame a",
    "ls-remote", "ls-files", "init", "hook run x", "for-each-repo", "bugreport", "credential fill",
    "upload-pack", "history", "replay",
    # options that run programs, write files or read outside
    "log --output=/tmp/x", "log --output /tmp/x", "diff --output=/tmp/x", "show --output=x", "log --outp=x",
    "diff -o x",
    "diff --no-index a b", "diff --ext-diff", "log --textconv", "log --show-signature", "log --format=%G?",
    "log --pretty=format:%GS",
    "log --format=%H", "log --pretty=mine", "show --format=%(trailers)", "log -S x", "log -G x",
    "log -L 1,2:a", "log --help",
    "status --help", "status -h", "log -c", "log --cc", "diff -O x", "diff --submodule=diff",
    "diff --ignore-submodules=none",
    "status --ignore-submodules=none", "status -v", "status --untracked-files=/etc", "status --column",
    "status --pathspec-from-file=x",
    "log --exclude-from=x", "log --stdin", "log --glob=*", "log --reflog", "log -g",
    "diff --diff-filter=/x", "diff -U-1", "diff -Ux",
    "diff --unified=1234567", "log -n -3", "log -n x", "log --max-count", "log --since=-x",
    "log --since=$(id)", "log --author=-x",
    "branch -d main", "branch -D main", "branch -m x", "branch -f x", "branch --edit-description",
    "branch -v new", "branch --list new",
    "branch -- new", "branch -v -- new", "branch --list --no-list new", "branch --sort=signature",
    "branch --format=%(x)",
    "branch new -f", "branch new --track", "branch a b c", "branch new ..", "branch -u origin/x",
    "branch new.lock", "branch new..x",
    "add -p", "add -i", "add -e", "add -f x", "add --force x", "add --patch", "add --edit",
    "add --chmod=+x a", "add --pathspec-from-file=x",
    "commit", "commit -a", "commit -m", "commit --amend", "commit -m x --amend", "commit -e -m x",
    "commit -F /etc/passwd", "commit -t x",
    "commit -C HEAD", "commit -c HEAD", "commit -S -m x", "commit --gpg-sign -m x", "commit -n -m x",
    "commit --no-verify -m x",
    "commit -m x --trailer a=b", "commit --fixup HEAD", "commit -p -m x", "commit -am",
    "commit --author=x -m x", "commit -- -m x",
    "commit --mess=x", "commit -m x -- ../a",
    "switch -f main", "switch --force main", "switch -C x", "switch --discard-changes main",
    "switch --orphan x",
    "switch -c -f", "switch -c", "switch a b", "switch --merge main", "switch ../x", "switch @{-1}",
    "switch -- main", "switch -c a..b",
    "fetch --upload-pack=id origin", "fetch --upl=id", "fetch -u x", "fetch --exec=id", "fetch https://x/y",
    "fetch ext::id",
    "fetch file:///etc", "fetch /etc", "fetch ../x", "fetch git@x:y", "fetch x:y", "fetch origin +a:b",
    "fetch origin a:b",
    "fetch --recurse-submodules", "fetch -o x", "fetch --server-option=x", "fetch -- https://x/y",
    "fetch -- ext::id", "fetch -- origin +a:b",
    "fetch --multiple a b", "fetch --force", "fetch -f", "fetch --write-fetch-head", "fetch --refmap=x",
    "fetch -- -x",
    "pull --rebase", "pull --no-ff", "pull -s ours", "pull --upload-pack=id", "pull -X ours",
    "pull https://x/y", "pull -- ext::id",
    "pull origin +main", "pull --autostash", "pull --no-verify", "pull --force", "pull -- origin +a:b",
    # paths
    "diff /etc/passwd", "diff a /etc/passwd", "diff -- /etc/passwd", "diff -- ../x", "diff ../x",
    "diff a/../../x", "add ../x", "add /etc",
    "add ~/x", "add ~", "add \\x", "add C:\\x", "add c:/x", "log -- ..", "show ..", "log :/x",
    "log :(top)x", "add :(exclude)x", "add :/",
    "diff -- ~root/x", "add -", "log -", "diff -", "status -",
]  # fmt: skip


def forced(subcommand: str) -> list[str]:
    return list(RULES[subcommand].forced)


@pytest.mark.parametrize(("asked", "access", "run"), ALLOWED, ids=[one[0] for one in ALLOWED])
def test_this_is_allowed_and_rebuilt(asked: str, access: str, run: str) -> None:
    call = classify(["git", *asked.split()])
    assert call.access == access
    subcommand, *rest = run.split()
    assert call.argv == ("git", subcommand, *forced(subcommand), *rest)


@pytest.mark.parametrize("asked", REFUSED)
def test_this_is_refused_with_a_sentence(asked: str) -> None:
    words = asked.split() if asked in {"", "status", "GIT", "git-status"} else ["git", *asked.split()]
    if asked == "status":
        words = ["status"]
    with pytest.raises(Rejected) as why:
        classify(words)
    assert 20 < len(str(why.value)) < 400


@pytest.mark.parametrize(
    "words",
    [
        [], ["git"], ["git", ""], ["git", "log", ""], ["", "status"], ["GIT", "status"],
        ["/usr/bin/git", "status"],
        ["git", "log", "a\x00b"], ["git", "log", "a\x1bb"], ["git", "log", "\ud800"],
        ["git", "log", "a\x7fb"],
        ["git", "add", *["x"] * 99], ["git", "commit", "-m", "x" * 8_193], ["git", "commit", "-m", "a\rb"],
        ["git", "log", "--", ""], ["git", "commit", "-m", ""], ["git", "log", "--since="],
        ["git", "log", "--author="],
        ["git", "log", "-n", "٣"], ["git", "log", "-٣"],
    ],
)  # fmt: skip
def test_a_shape_that_is_not_right_is_refused(words: list[str]) -> None:
    with pytest.raises(Rejected):
        classify(words)


def test_a_message_may_have_lines_and_any_letters() -> None:
    text = "Tell more\n\n\tin lines, with 'quotes', $vars, ünïcode and 😀"
    assert classify(["git", "commit", "-m", text]).argv[-1] == f"--message={text}"


@pytest.mark.parametrize("subcommand", RULES)
def test_whatever_starts_programs_for_the_repository_is_switched_off_by_force(subcommand: str) -> None:
    words = {"commit": ["-m", "x"]}.get(subcommand, [])
    words = ["main"] if subcommand == "switch" else words
    argv = classify(["git", subcommand, *words]).argv
    if subcommand in {"log", "show", "diff"}:
        assert {"--no-ext-diff", "--no-textconv"} <= set(argv)
    if subcommand in {"log", "show"}:
        assert "--no-show-signature" in argv
    if subcommand in {"status", "diff"}:
        assert "--ignore-submodules=dirty" in argv
    if subcommand == "pull":
        assert "--ff-only" in argv


KNOWN = sorted({flag for rule in RULES.values() for flag in (*rule.flags, *rule.values)})
HOSTILE = [
    "--output=x", "--exec=id", "-c", "-C", "--", "-", "..", "/etc", "ext::id", "https://x", "-x",
    "--upload-pack=id", ":/x", "+a:b", "--help", "-Oid", "--no-index", "a", "main", "x/y", "-m", "-am", "5",
    "~",
    "@{-1}", "", "-n", "-5",
]  # fmt: skip
WORD = (
    st.sampled_from(KNOWN + HOSTILE)
    | st.text(max_size=12)
    | st.text(string.ascii_letters + "-=/.:+", max_size=8)
)
ARGV = st.lists(WORD, max_size=6) | st.builds(
    lambda subcommand, rest: ["git", subcommand, *rest],
    st.sampled_from(sorted(RULES)),
    st.lists(WORD, max_size=6),
)


@settings(max_examples=800, deadline=None)
@given(ARGV)
def test_any_list_of_text_is_a_call_or_refused_and_a_call_holds_only_what_is_known(words: list[str]) -> None:
    try:
        call = classify(words)
    except Rejected:
        return
    rule = RULES[call.subcommand]
    assert call.argv[:2] == ("git", words[1])
    assert call.argv[2 : 2 + len(rule.forced)] == rule.forced
    rest = call.argv[2 + len(rule.forced) :]
    before = rest[: rest.index("--")] if "--" in rest else rest
    paths = rest[len(before) + 1 :]
    for word in before:
        if (
            word.startswith("-")
            and word not in rule.flags
            and not (word == "-" and call.subcommand == "switch")
        ):
            name, equals, value = word.partition("=")
            assert equals, word
            assert name in rule.values, word
            assert rule.values[name].fullmatch(value), word
        if not word.startswith("-"):
            assert word in words
            assert "://" not in word
            assert "::" not in word
    for word in (*paths, *(word for word in before if not word.startswith("-"))):
        assert word[0] not in "/~\\"
        assert ".." not in word.split("/")
    if call.subcommand in {"branch", "switch", "fetch", "pull"}:
        assert paths == ()
    # What was understood once is understood the same way again.
    assert classify(["git", call.subcommand, *rest]).argv == call.argv
