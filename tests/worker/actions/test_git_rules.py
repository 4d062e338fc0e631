"""Which git commands may run, and how they are written anew."""

from __future__ import annotations

import shlex
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.actions.git.parse import RULES, Verdict, classify
from worker.actions.git.rules import Rule

TABLE = Path(__file__).with_name("git_verdicts.txt")
ROWS = [
    (verdict.strip(), argv.strip())
    for verdict, _, argv in (line.partition("|") for line in TABLE.read_text(encoding="utf-8").splitlines())
    if argv and not verdict.startswith("#")
]
LOG = "--no-ext-diff --no-textconv --no-show-signature --submodule=short"
DIFF = "--no-ext-diff --no-textconv --submodule=short --ignore-submodules=dirty"

# What is asked -> what is run after "git", every word of it.
REBUILT = [
    ("status -sb", "status --ignore-submodules=dirty -s -b"),
    ("status -uno docs", "status --ignore-submodules=dirty --untracked-files=no docs"),
    ("status -suall", "status --ignore-submodules=dirty -s --untracked-files=all"),
    ("status --untracked-files all", "status --ignore-submodules=dirty --untracked-files all"),
    ("status -- -odd", "status --ignore-submodules=dirty -- -odd"),
    ("log -3", f"log {LOG} --max-count=3"), ("log -n 3", f"log {LOG} --max-count=3"),
    ("log -n3", f"log {LOG} --max-count=3"), ("log --max-count 3", f"log {LOG} --max-count=3"),
    ("log main..HEAD -p -- docs", f"log {LOG} -p main..HEAD -- docs"),
    ("log --author 'A B'", f"log {LOG} '--author=A B'"), ("log -S 'a b'", f"log {LOG} '-Sa b'"),
    ("log -M90%", f"log {LOG} --find-renames=90%"), ("log -pM", f"log {LOG} -p -M"),
    ("show HEAD:note.txt", f"show {LOG} HEAD:note.txt"),
    ("diff -U5 a.txt b.txt", f"diff {DIFF} --unified=5 a.txt b.txt"),
    ("diff HEAD -w", f"diff {DIFF} -w HEAD"),
    ("blame -L 1,5 -w a", "blame --no-textconv -L1,5 -w a"),
    ("grep -n /etc main -- docs", "grep --no-textconv -n -e/etc main -- docs"),
    ("grep -in -e -x -e y docs", "grep --no-textconv -i -n -e-x -ey docs"),
    ("grep -2 x", "grep --no-textconv --context=2 -ex"), ("grep -C2 x", "grep --no-textconv --context=2 -ex"),
    ("shortlog -sn", "shortlog -s -n HEAD"), ("shortlog -sn --all", "shortlog -s -n --all"),
    ("rev-list --count", "rev-list --count HEAD"),
    ("reflog", "reflog show --no-ext-diff --no-textconv --no-show-signature"),
    ("reflog -2 main", "reflog show --no-ext-diff --no-textconv --no-show-signature --max-count=2 main"),
    ("stash list -2", "stash list --no-ext-diff --no-textconv --max-count=2"),
    ("stash show 1", "stash show --no-ext-diff --no-textconv 1"),
    ("branch --contains", "branch --contains=HEAD"), ("branch --merged main", "branch --merged=main"),
    ("tag -n3", "tag -n3"), ("tag -a -m 'b c' v1 HEAD~2", "tag -a '--message=b c' v1 HEAD~2"),
    ("commit -am text", "commit -a --message=text"), ("commit -mtext -- a", "commit --message=text -- a"),
    ("commit -m --amend", "commit --message=--amend"), ("commit -m a -m b", "commit --message=a --message=b"),
    ("switch -", "switch --no-overwrite-ignore -"),
    ("switch -c new main", "switch --no-overwrite-ignore --create=new main"),
    ("checkout -b new main", "checkout --no-overwrite-ignore -bnew main"),
    ("fetch -p origin main", "fetch --no-recurse-submodules -p origin main"),
    ("pull", "pull --ff-only --no-recurse-submodules"),
    ("pull --rebase origin", "pull --no-recurse-submodules --rebase origin"),
    ("merge dev", "merge --no-edit --no-verify-signatures --no-overwrite-ignore dev"),
    ("merge --abort", "merge --abort"),
    ("revert HEAD", "revert --no-edit HEAD"), ("cherry-pick -m 1 a..b", "cherry-pick --mainline=1 a..b"),
    ("clean -nd", "clean -n -d"), ("init x", "init --template= x"),
    ("push -u origin main", "push --recurse-submodules=no -u origin main"),
    ("clone --depth 1 https://example.com/a b", "clone --template= --depth=1 https://example.com/a b"),
]  # fmt: skip


def ask(line: str) -> Verdict:
    return classify(["git", *shlex.split(line)])


@pytest.mark.parametrize(("verdict", "line"), ROWS, ids=[f"{verdict}: {line}" for verdict, line in ROWS])
def test_the_table_of_verdicts(verdict: str, line: str) -> None:
    found = ask(line)
    assert found.access == verdict, found.why or found.argv
    if verdict == "denied":
        assert found.argv == ()
        assert 20 < len(found.why) < 400
    else:
        assert found.argv[:2] == ("git", shlex.split(line)[0])
        assert found.why == ""


def test_the_table_is_large_and_knows_every_verdict_and_sub_command() -> None:
    assert len(ROWS) >= 300
    assert len({line for _, line in ROWS}) == len(ROWS)
    assert {verdict for verdict, _ in ROWS} == {"read", "write", "approval", "denied"}
    assert {shlex.split(line)[0] for verdict, line in ROWS if verdict != "denied"} == set(RULES)


@pytest.mark.parametrize(("asked", "run"), REBUILT, ids=[asked for asked, _ in REBUILT])
def test_what_is_allowed_is_written_anew(asked: str, run: str) -> None:
    assert list(ask(asked).argv) == ["git", *shlex.split(run)]


@pytest.mark.parametrize(
    "words",
    [
        [], ["git"], ["git", ""], ["git", "log", ""], ["", "status"], ["GIT", "status"],
        ["/usr/bin/git", "status"], ["git", "git", "status"],
        ["git", "log", "a\x00b"], ["git", "log", "a\x1bb"], ["git", "log", "\ud800"], ["git", "log", "a\nb"],
        ["git", "log", "--", "a\tb"], ["git", "log", "a\x7fb"], ["git", "log", "--author=a\nb"],
        ["git", "add", *["x"] * 99], ["git", "commit", "-m", "x" * 8_193], ["git", "commit", "-m", "a\rb"],
        ["git", "log", "--", ""], ["git", "commit", "-m", ""], ["git", "log", "--since="],
        ["git", "log", "--author="], ["git", "grep", ""], ["git", "status\n"], ["git", " status"],
        ["git", "log", "-n", "٣"], ["git", "log", "-٣"], ["git", "log", "-n", "3\n"],
    ],
)  # fmt: skip
def test_a_shape_that_is_not_right_is_denied(words: list[str]) -> None:
    verdict = classify(words)
    assert verdict.access == "denied"
    assert len(verdict.why) > 20


def test_a_message_may_have_lines_and_any_letters() -> None:
    text = "Tell more\n\n\tin lines, with 'quotes', $vars, ünïcode and 😀"
    assert classify(["git", "commit", "-m", text]).argv[-1] == f"--message={text}"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("stat", "git 'stat' is not among the allowed sub-commands; did you mean status?"),
        ("log --onelin", "git log cannot take '--onelin' here: near to it are --oneline"),
        ("worktree list /etc", "git worktree cannot take '/etc' here"),
        ("commit", 'git commit needs a message: git commit -m "what changed"'),
        ("diff ../x", "git diff cannot take '../x' here: it would leave the project; give a path inside"),
        ("switch --orphan x", "git switch cannot take '--orphan' here: allowed are"),
        ("branch -v new", "git branch cannot take 'new' here: names are allowed with"),
        ("log --since -x", "a value may not begin with a dash"),
        ("config -l", "git config is not allowed: it would change what git runs"),
        ("-c a=b log", "the word after git must be a sub-command, like git status"),
    ],
)
def test_a_denial_says_what_was_seen_and_the_way_out(line: str, said: str) -> None:
    assert said in ask(line).why


KNOWN = sorted(
    {word for rules in RULES.values() for rule in rules for word in (*rule.flags, *rule.values, rule.verb)}
)
HOSTILE = [
    "--output=x", "--exec=id", "-c", "-C", "--", "-", "..", "/etc", "ext::id", "https://x", "-x",
    "--upload-pack=id", ":/x", "+a:b", "--help", "-Oid", "--no-index", "a", "main", "x/y", "-m", "-am", "5",
    "~", "@{-1}", "", "-n", "-5", "stash@{0}", "%G?", "--format=%G?", "HEAD", "main..dev",
]  # fmt: skip
WORD = (
    st.sampled_from(KNOWN + HOSTILE)
    | st.text(max_size=12)
    | st.text(string.ascii_letters + "-=/.:+%@{}~^", max_size=8)
)
ARGV = st.lists(WORD, max_size=6) | st.builds(
    lambda subcommand, rest: ["git", subcommand, *rest],
    st.sampled_from(sorted(RULES)),
    st.lists(WORD, max_size=6),
)


def knows(rule: Rule, word: str) -> bool:
    """Whether *rule* could have written the option *word*."""
    name, _, value = word.partition("=")
    table = {**rule.values, **rule.optional}
    return (
        word in rule.flags
        or (word.startswith("--") and name in table and bool(table[name].pattern.fullmatch(value)))
        or (word[:2] in table and bool(table[word[:2]].pattern.fullmatch(word[2:])))
        or (bool(rule.count) and name == rule.count and value.isdigit())
    )


def explained(rule: Rule, words: tuple[str, ...]) -> bool:
    """Whether *rule* accounts for every word of a command, beginning after its sub-command."""
    lead = (*([rule.verb] if rule.verb else []), *rule.forced)
    if words[: len(lead)] != lead:
        return False
    rest = words[len(lead) :]
    before = rest[: rest.index("--")] if "--" in rest else rest
    options = [word for word in before if word.startswith("-") and not (word == "-" and rule.words)]
    return all(knows(rule, option) for option in options) and (rule.paths or "--" not in rest)


@settings(max_examples=1500, deadline=None)
@given(ARGV)
def test_any_list_of_text_gets_one_of_four_verdicts_and_only_what_is_known_is_written(
    words: list[str],
) -> None:
    verdict = classify(words)
    assert verdict.access in {"read", "write", "approval", "denied"}
    assert (verdict.argv == ()) == (verdict.access == "denied") == (verdict.why != "")
    if verdict.access == "denied":
        return
    assert verdict.argv[:2] == ("git", words[1])
    rules = [rule for rule in RULES[words[1]] if rule.access == verdict.access]
    assert any(explained(rule, verdict.argv[2:]) for rule in rules), verdict.argv
    for word in verdict.argv[2:]:
        if word in words and not word.startswith("-"):
            assert word[0] not in "/~\\"
            assert ".." not in word.split("/")
    # What was understood once is understood the same way again.
    for rule in rules:
        lead = (*([rule.verb] if rule.verb else []), *rule.forced)
        if explained(rule, verdict.argv[2:]) and verdict.argv[2 : 2 + len(lead)] == lead:
            again = ["git", words[1], *([rule.verb] if rule.verb else []), *verdict.argv[2 + len(lead) :]]
            assert classify(again) == verdict
            break


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(alphabet=st.characters(codec=None), max_size=8_200), max_size=4))
def test_no_text_whatever_makes_it_raise(words: list[str]) -> None:
    assert classify(["git", *words]).access in {"read", "write", "approval", "denied"}
    assert classify(words).access == "denied" or words[0] == "git"
