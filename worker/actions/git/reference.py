"""What docs/LLM_ACTIONS.md says about git, made from the tables."""

from __future__ import annotations

from worker.actions.git.parse import RULES
from worker.actions.git.rules import Access

_CLASSES = """
### What git may be asked

Every command has one of four classes. The words are understood by the table below and written anew for git;
what the table does not name, like an abbreviated option, is denied.

| class | what it is | a project needs |
| --- | --- | --- |
| `read` | changes nothing, starts no other program, stays on this machine | `git = "read"` |
| `write` | adds work; nothing that is not committed gets lost | `git = "write"` |
| `approval` | could lose work, or leaves the machine | `git = "write"`, and a person's yes each time |
| denied | everything else, like `config`, `submodule`, `push --force`, `rebase -i` | never possible |

The class `approval` waits in the viewer, with the very command, until somebody says yes or no.
"""
_NOTES = """\
A sub-command that stands in several rows has the class of the first row that knows all of its words. `…`
is a value: `--name=value`, or the next word unless that begins with a dash. `[=…]` is a value that may be
left out and is never the next word. Letters may be joined (`-sb`).

Paths and names stay inside the project: nothing that is absolute, goes up with `..`, begins with `:`, lies in
`.git` or names a protocol. What git ignores is not overwritten, except where an option says so (`-f`,
`--hard`, `clean -x`): the refusal names the file. `commit` needs `-m`, `--fixup`, or `--amend --no-edit`.
`pull` is `--ff-only` unless it is `--rebase`. An address to clone from begins with `https://`, `ssh://` or
`git@`.

What the repository itself would like to run is switched off: hooks, external diff programs, text
converters, pagers, editors, signature checks, file system monitors. Where its configuration names a
program that cannot be switched off (content filters, merge drivers, `remote.*.uploadpack`, includes and the
like), every git command is refused with the name of the key. `trust_repo_config = true` in `policy.toml`
says that the configuration is yours: it is then obeyed, and commands of class `write` run the hooks.
Filters of git-lfs are always allowed. A commit says when hooks of the repository were skipped.
"""
_ORDER: tuple[Access, ...] = ("read", "write", "approval")


def notes() -> str:
    """The classes, the table and the fine print, as Markdown."""
    rows = [
        f"| `{name}{' ' + rule.verb if rule.verb else ''}` | {rule.access} | {rule.options()} |"
        for access in _ORDER
        for name, rules in RULES.items()
        for rule in rules
        if rule.access == access
    ]
    head = ["| sub-command | class | options |", "| --- | --- | --- |"]
    return "\n".join([_CLASSES, *head, *rows, "", _NOTES])
