"""One job for an assistant, from finding its program to what is left of it; the same for each of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from relay.protocol import Reason, Status
from worker.actions.base import TOO_MUCH, Job, Outcome
from worker.actions.claude_code import changes, notes, worktree
from worker.actions.claude_code.agent import CHANGES, Agent, Ask, Ended, Verdict
from worker.actions.claude_code.changes import Changes
from worker.actions.claude_code.watch import Watch
from worker.actions.said import in_seconds
from worker.manners import Dialogue, Manners
from worker.process import Completed, Ending

MAX_ANSWER_CHARS = 100_000
QUIET_S = 10.0
"""A silence before a time-out that is worth a word."""


def perform(agent: Agent, ask: Ask, job: Job, timeout: float) -> Outcome:
    """Let *agent* do what *ask* says. Raises Rejected or CannotStart when nothing was run."""
    program = agent.probe(job)
    before = changes.look(job, files=ask.mode in CHANGES)
    if job.stop():
        return Outcome(Status.CANCELLED)
    branch = None
    if ask.is_apart:
        with worktree.branched(job, before, ask) as branch:
            watch, completed = _run(agent, program, ask, branch.job, timeout)
        changed = branch.changed
    else:
        watch, completed = _run(agent, program, ask, job, timeout)
        changed = changes.since(before, job) if ask.mode in CHANGES else Changes(None, None)
    ended = Ended(ask, watch.results, watch.denied, watch.text, completed.returncode, completed.stderr)
    verdict = agent.outcome(ended)
    outcome = _outcome(verdict, watch, completed, ask, timeout)
    data = _data(ask, verdict, watch, completed, changed)
    data["branch"] = branch.name if branch and branch.is_kept else None
    headline = _headline(verdict, watch, changed) if outcome.status is Status.COMPLETED else None
    job.note(_last_line(outcome, verdict, completed, ask, data))
    return replace(outcome, output_data=data, headline=headline)


def _run(agent: Agent, program: Path, ask: Ask, job: Job, timeout: float) -> tuple[Watch, Completed]:
    with notes.handed_over(job) as path:
        call = agent.command(program, ask, path)
        dialogue = Dialogue(call.stdin) if call.is_dialogue else None
        watch = Watch(agent, job, dialogue, {"session_id": ask.session, "mode": ask.mode})
        stdin = dialogue or call.stdin
        manners = Manners(stdin=stdin, translate=watch.hear, farewell=call.farewell)
        running = replace(job, stop=watch.stop)
        try:
            return watch, running.run(call.argv, timeout=timeout, env=call.env, manners=manners)
        finally:
            watch.end()


def _outcome(verdict: Verdict, watch: Watch, completed: Completed, ask: Ask, timeout: float) -> Outcome:
    go_on = f"session {ask.session} goes on where it was"
    if completed.ending is Ending.TIMED_OUT:
        silent = f" after {watch.silent_s:.0f} seconds without output" if watch.silent_s > QUIET_S else ""
        error = f"It ran longer than {in_seconds(timeout)} and was stopped{silent}"
        return Outcome(
            Status.FAILED, Reason.TIMED_OUT, f"{error}; a longer timeout may be given, and {go_on}"
        )
    if completed.ending is Ending.TOO_MUCH_OUTPUT:
        error = f"It printed {TOO_MUCH} and was stopped; {go_on}"
        return Outcome(Status.FAILED, Reason.ERROR, error)
    if completed.ending is Ending.STOPPED and not watch.has_lingered:
        return Outcome(Status.CANCELLED)
    if verdict.error is not None:
        return Outcome(Status.FAILED, verdict.reason, verdict.error)
    return Outcome(Status.COMPLETED)


_ENDED = {Ending.TIMED_OUT: "timed_out", Ending.STOPPED: "stopped", Ending.TOO_MUCH_OUTPUT: "too_much_output"}


def _data(
    ask: Ask, verdict: Verdict, watch: Watch, completed: Completed, changed: Changes
) -> dict[str, Any]:  # Any: JSON
    was_stopped = completed.ending is not Ending.EXITED and not watch.has_lingered
    return {
        "ended": _ENDED[completed.ending] if was_stopped else verdict.ended,
        "answer": verdict.answer[:MAX_ANSWER_CHARS],
        "session_id": ask.session if verdict.ended != "unknown_session" else None,
        "mode": ask.mode,
        "cost_usd": verdict.cost_usd,
        "turns": verdict.turns,
        "denied": watch.denied,
        "files_changed": changed.files,
        "diffstat": changed.diffstat,
        "patch": changed.patch,
        "stdout": completed.stdout,
        "stderr": completed.stderr,
        "returncode": completed.returncode,
        "seconds": round(completed.seconds, 3),
    }


def _headline(verdict: Verdict, watch: Watch, changed: Changes) -> str:
    """For the ear. What was denied comes first: the answer may claim that it was done."""
    tools = sorted({denial.partition(" ")[0] for denial in watch.denied})
    parts = [f"It was not allowed to use {' and '.join(tools[:3])}."] if tools else []
    if changed.files:
        parts.append(f"{_count(len(changed.files), 'file')} changed.")
    lines = (re.sub(r"^[\s#>*+-]+|\*\*|`", "", line).strip() for line in verdict.answer.splitlines())
    parts.append(next((line for line in lines if re.search(r"\w", line)), "It said nothing."))
    return " ".join(parts)[:200]


def _last_line(
    outcome: Outcome, verdict: Verdict, completed: Completed, ask: Ask, data: Mapping[str, Any]
) -> str:
    """The end of the log, with all that somebody needs who sees nothing else."""
    files, diffstat = data["files_changed"], data["diffstat"]
    parts = [f"{outcome.status} after {completed.seconds:.0f} s"]
    parts += [_count(verdict.turns, "turn")] if verdict.turns is not None else []
    parts += [f"${verdict.cost_usd:.4f}"] if verdict.cost_usd is not None else []
    parts += [f"{_count(len(files), 'file')} changed"] if files is not None else []
    parts += [f"branch {data['branch']}"] if data["branch"] else []
    parts += [f"session {ask.session}"] if verdict.ended != "unknown_session" else []
    return f"{(diffstat or '')}── {' · '.join(parts)}"


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}" + ("" if number == 1 else "s")
