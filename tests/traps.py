"""A repository that wants programs of its own to run at every occasion, and to lead git outside.

`make_trap` builds it; whatever it manages to start writes a line into `Trap.ran`. Only what git can be
told to leave alone is in it; settings that cannot be overruled are in `UNSTOPPABLE`, because a
repository that has one of them is refused as a whole.
"""

from __future__ import annotations

import os
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.chain import git


def words(text: str) -> list[str]:
    """A table of words without a forest of quotes."""
    return text.split()


SECRET = "this-is-outside-of-the-project"
HOOKS = words(
    """
    applypatch-msg commit-msg fsmonitor-watchman post-applypatch post-checkout post-commit post-index-change
    post-merge post-rewrite pre-applypatch pre-auto-gc pre-commit pre-merge-commit pre-push pre-rebase
    prepare-commit-msg reference-transaction sendemail-validate push-to-checkout
    """
)
# Each with the program as its value.
PROGRAMS = words(
    """
    core.fsmonitor core.pager core.editor core.sshCommand core.askPass diff.external diff.trap.textconv
    diff.trap.command gpg.program gpg.openpgp.program gpg.ssh.program gpg.x509.program pager.log
    pager.status pager.diff pager.show pager.branch pager.tag pager.blame pager.grep pager.stash
    sequence.editor interactive.diffFilter man.trap.cmd man.viewer browser.trap.cmd trailer.trap.cmd
    trailer.trap.command difftool.trap.cmd mergetool.trap.cmd tar.trap.command uploadpack.packObjectsHook
    gpg.ssh.defaultKeyCommand sendemail.smtpServer instaweb.httpd
    """
)
SETTINGS = {
    "commit.gpgSign": "true", "tag.gpgSign": "true", "tag.forceSignAnnotated": "true",
    "commit.verbose": "true",
    "log.showSignature": "true", "format.pretty": "%G?", "pretty.mine": "%G?",
    "merge.verifySignatures": "true",
    "gc.auto": "1", "maintenance.auto": "true", "pull.rebase": "true", "protocol.ext.allow": "always",
    "status.submoduleSummary": "true", "diff.submodule": "diff", "diff.ignoreSubmodules": "none",
    "submodule.recurse": "true", "fetch.recurseSubmodules": "true", "diff.tool": "trap", "merge.tool": "trap",
    "fetch.pruneTags": "true", "color.ui": "always", "column.ui": "always", "core.untrackedCache": "true",
    "rerere.enabled": "true", "merge.directoryRenames": "true", "diff.relative": "true",
    "rebase.updateRefs": "true", "core.splitIndex": "true", "splitIndex.sharedIndexExpire": "now",
    "clean.requireForce": "false", "log.diffMerges": "first-parent", "grep.fallbackToNoIndex": "true",
}  # fmt: skip
# Names are free here, so there is nothing to overrule: the audit refuses each.
UNSTOPPABLE = {
    "filter.trap.clean": "PROGRAM", "filter.trap.smudge": "PROGRAM", "filter.trap.process": "PROGRAM",
    "filter.a\xffb.clean": "PROGRAM", "filter.lfs.clean": "PROGRAM", "FILTER.trap.CLEAN": "PROGRAM",
    "merge.trap.driver": "PROGRAM", "hook.trap.command": "PROGRAM", "hook.trap.event": "pre-commit",
    "include.path": "other", "includeIf.onbranch:main.path": "other",
    "remote.origin.uploadpack": "PROGRAM", "remote.origin.receivepack": "PROGRAM",
    "remote.origin.vcs": "trap",
    "remote.origin.proxy": "http://127.0.0.1:9", "remote.origin.mirror": "true",
    "remote.origin.push": "+refs/heads/*:refs/heads/*", "remote.origin.fetch": "+refs/heads/*:refs/heads/*",
    "remote.second.fetch": "+refs/*:refs/*", "remote.third.fetch": "+HEAD:main",
    "remote.origin.pruneTags": "true",
    "branch.main.mergeOptions": "-s trap",
    "pull.twohead": "trap", "pull.octopus": "trap", "core.gitProxy": "PROGRAM", "core.worktree": "/",
    "core.alternateRefsCommand": "PROGRAM", "url.ext::trap.insteadOf": "https://",
    "url.ext::trap.pushInsteadOf": "https://", "credential.helper": "PROGRAM",
    "credential.https://example.com.helper": "PROGRAM", "http.proxy": "http://127.0.0.1:9",
    "http.sslVerify": "false", "http.https://example.com/.extraHeader": "X: y",
    "submodule.sub.update": "!PROGRAM", "lfs.customtransfer.trap.path": "PROGRAM",
    "lfs.extension.trap.clean": "PROGRAM", "branch.sort": "signature", "core.repositoryFormatVersion": "99",
    "extensions.trap": "true", "blame.ignoreRevsFile": "/etc/passwd",
    "mailmap.file": "/dev/zero",
}  # fmt: skip


@dataclass(frozen=True)
class Trap:
    """`ran` exists when something was started; nothing but `project` may be looked at."""

    project: Path
    program: Path
    ran: Path
    outside: Path


def make_trap(folder: Path) -> Trap:
    """Build it in *folder*, an empty directory."""
    trap = Trap(folder / "project", folder / "outside" / "trap.sh", folder / "ran", folder / "outside")
    trap.outside.mkdir(parents=True)
    trap.program.write_text(f'#!/bin/sh\necho "$0 $*" >> {trap.ran}\ncat "$1" 2>/dev/null\nexit 0\n')
    trap.program.chmod(0o755)
    (trap.outside / "secret.txt").write_text(f"{SECRET}\n")
    _fill(trap)
    _submodule(trap)
    _history(trap)
    _arm(trap.project, trap.program)
    _arm(trap.project / "sub", trap.program)
    _change(trap.project)
    trap.ran.unlink(missing_ok=True)
    return trap


def configure(project: Path, key: str, value: str) -> None:
    """Set *key* in the repository's configuration; its subsection may hold any bytes."""
    section, _, rest = key.partition(".")
    subsection, dot, name = rest.rpartition(".")
    head = f'[{section} "{subsection}"]' if dot else f"[{section}]"
    with (project / ".git" / "config").open("ab") as file:
        file.write(f'{head}\n\t{name} = "{value}"\n'.encode("latin-1"))


def snapshot(*folders: Path) -> dict[str, tuple[int, ...]]:
    """Everything in *folders*, so that whatever is written shows."""
    found: dict[str, tuple[int, ...]] = {}
    pending = [str(folder) for folder in folders]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                one = entry.stat(follow_symlinks=False)
                # A split index tells git with each look that its shared half is still in use: by the
                # time of the file, never by what is in it.
                times = () if entry.name.startswith("sharedindex.") else (one.st_mtime_ns, one.st_ctime_ns)
                found[entry.path] = (one.st_mode, one.st_size, one.st_ino, *times)
                if stat.S_ISDIR(one.st_mode):
                    pending.append(entry.path)
    return found


def _fill(trap: Trap) -> None:
    project = trap.project
    (project / "docs").mkdir(parents=True)
    git(project, "init", "-q", "-b", "main")
    for name in ("note.txt", "a.txt", "b.txt", "docs/read.txt"):
        (project / name).write_text("".join(f"line {n} of {name}\n" for n in range(30)))
    (project / ".gitattributes").write_text("*.txt diff=trap\n")
    (project / ".gitignore").write_text("ignored.txt\n")
    (project / "link").symlink_to(trap.outside)
    (project / "link.txt").symlink_to(trap.outside / "secret.txt")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "Begin\n\ntrap: yes")


def _submodule(trap: Trap) -> None:
    sub = trap.project / "sub"
    sub.mkdir()
    git(sub, "init", "-q", "-b", "main")
    (sub / "inner.txt").write_text("inner\n")
    (sub / ".gitattributes").write_text("*.txt diff=trap\n")
    git(sub, "add", ".")
    git(sub, "commit", "-q", "-m", "Inner")
    (trap.project / ".gitmodules").write_text('[submodule "sub"]\n\tpath = sub\n\turl = ./sub\n')
    git(trap.project, "add", ".")
    git(trap.project, "commit", "-q", "-m", "Add a submodule")
    (sub / "inner.txt").write_text("changed\n")
    git(sub, "commit", "-q", "-am", "Change the inner one")


def _history(trap: Trap) -> None:
    project = trap.project
    git(project, "branch", "dev")
    git(project, "branch", "feature/x")
    git(project, "tag", "v1.0")
    git(project, "update-ref", "refs/remotes/origin/main", "HEAD")
    git(project, "remote", "add", "origin", f"ext::{trap.program}")
    git(project, "remote", "add", "other", "https://user:pass-word@127.0.0.1:9/x")
    git(project, "switch", "-q", "dev")
    (project / "b.txt").write_text("other\n")
    git(project, "commit", "-q", "-am", "Change b")
    git(project, "switch", "-q", "main")
    (project / "a.txt").write_text("stashed\n")
    git(project, "stash")
    git(project, "mv", "b.txt", "c.txt")
    git(project, "commit", "-q", "-m", "Rename b")
    _sign(project)


def _sign(project: Path) -> None:
    """A signature on the last commit and on a tag, so that looking at them wants to check it."""
    signature = "-----BEGIN PGP SIGNATURE-----\n\nnothing\n-----END PGP SIGNATURE-----"

    def run(*words: str, given: str | None = None) -> str:
        done = subprocess.run(
            ["git", *words], cwd=project, input=given, capture_output=True, text=True, check=True
        )
        return done.stdout

    head, _, message = run("cat-file", "-p", "HEAD").partition("\n\n")
    signed = f"{head}\ngpgsig {signature.replace(chr(10), chr(10) + ' ')}\n\n{message}"
    commit = run("hash-object", "-t", "commit", "-w", "--stdin", given=signed).strip()
    run("update-ref", "refs/heads/main", commit)
    tag = (
        f"object {commit}\ntype commit\ntag v2.0\ntagger A <a@example.invalid> 1 +0000\n\ntext\n{signature}\n"
    )
    tagged = run("hash-object", "-t", "tag", "-w", "--stdin", given=tag).strip()
    run("update-ref", "refs/tags/v2.0", tagged)


def _arm(project: Path, program: Path) -> None:
    hooks = project / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for hook in HOOKS:
        (hooks / hook).unlink(missing_ok=True)
        (hooks / hook).symlink_to(program)
    for key in PROGRAMS:
        configure(project, key, str(program))
    for key, value in SETTINGS.items():
        configure(project, key, value)
    for name in ("status", "log", "diff", "st", "x"):
        configure(project, f"alias.{name}", f"!{program}")


def _change(project: Path) -> None:
    """Something staged, something changed, something new, and files that only look changed."""
    quiet = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "submodule.recurse=false")
    (project / "a.txt").write_text("staged\n")
    git(project, *quiet, "add", "a.txt")
    (project / "note.txt").write_text("changed\n")
    (project / "new.txt").write_text("new\n")
    (project / "ignored.txt").write_text("ignored\n")
    (project / "sub" / "inner.txt").write_text("changed again\n")
    # The index takes the first for changed until it has looked; that is when git likes to rewrite it.
    os.utime(project / "docs" / "read.txt", (1_000_000_000, 1_000_000_000))
