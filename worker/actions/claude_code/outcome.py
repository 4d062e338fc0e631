"""How a run of Claude Code went (pure).

Success ⇔ its last result says `success` and not `is_error`. Neither the exit status nor the subtype
alone is enough: after SIGINT it ends with 0, and "Not logged in" is a `success` with `is_error`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from relay.protocol import Reason
from worker.actions.claude_code.agent import Ended, Verdict
from worker.actions.said import ended_with

NOT_LOGGED_IN = "Claude Code is not logged in on this machine; run claude there once and log in with /login, "
NOT_LOGGED_IN += "or give the worker an ANTHROPIC_API_KEY"
_SAID_CHARS = 300


def judge(ended: Ended) -> Verdict:
    """The verdict, with a sentence for everything that is no success."""
    if not ended.results:
        return _without_result(ended)
    last = ended.results[-1]
    said = last["result"] if isinstance(last.get("result"), str) else ""
    if last.get("subtype") == "success" and last.get("is_error") is False:
        word, error, reason = "success", None, Reason.ERROR
    else:
        word, error, reason = _failure(ended, last)
    return Verdict(
        ended=word,
        error=error,
        reason=reason,
        # What it says of its own trouble is the error, and no answer.
        answer=(said or ended.text) if error is None else ended.text.replace(said, "").strip(),
        cost_usd=_cost(ended),
        turns=last["num_turns"] if isinstance(last.get("num_turns"), int) else None,
    )


def _cost(ended: Ended) -> float | None:
    """Of this run. The client counts at list prices; with a subscription it is a comparison only."""
    costs = [one["cost_usd"] for one in ended.results if isinstance(one.get("cost_usd"), float | int)]
    if not costs:
        total = ended.results[-1].get("total_cost_usd")
        costs = [total] if isinstance(total, float | int) else []
    return round(float(sum(costs)), 6) if costs else None


def _failure(ended: Ended, last: Mapping[str, Any]) -> tuple[str, str, Reason]:  # Any: JSON
    go_on = f"Go on with session {ended.ask.session}"
    errors = last.get("errors")
    said = _short("; ".join(map(str, errors)) if isinstance(errors, list) else str(last.get("result") or ""))
    match last.get("subtype"):
        case "error_max_turns":
            turns = f"{ended.ask.max_turns} turn{'' if ended.ask.max_turns == 1 else 's'}"
            limit = f"It was not done after {turns}, the most that max_turns allowed"
            return "max_turns", f"{limit}. {go_on}, or allow more", Reason.ERROR
        case "error_max_budget_usd":
            limit = f"It was not done when its budget of ${ended.ask.max_budget_usd:g} was used up"
            return "max_budget", f"{limit}. {go_on}, or allow more (max_budget_usd)", Reason.ERROR
        case "success":
            return _api_error(ended, last, said)
    if "No conversation found" in said:
        unknown = f"This machine does not know session {ended.ask.earlier}"
        return "unknown_session", f"{unknown}; leave session out to begin a new one", Reason.REJECTED
    return "error", f"Claude Code could not go on: {said or 'it did not say why'}. {go_on}", Reason.ERROR


def _api_error(ended: Ended, last: Mapping[str, Any], said: str) -> tuple[str, str, Reason]:  # Any: JSON
    status = last.get("api_error_status")
    # The first sentence, without the number that is told anyway; the next ones guess.
    said = re.sub(r"^(?:Failed to authenticate\. )?(?:API Error: \d{3} )?", "", said).partition(". ")[0]
    later = f"later, with session {ended.ask.session}"
    if "not logged in" in said.lower():
        return "not_logged_in", NOT_LOGGED_IN, Reason.ERROR
    if not isinstance(status, int):
        return "api_unreachable", f"The API could not be reached ({said}); try again {later}", Reason.ERROR
    word = f"api_error_{status}"
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        way = "put ANTHROPIC_API_KEY right, or run claude there once and log in with /login"
        return word, f"The API does not let this machine in ({status}: {said}); {way}", Reason.ERROR
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return (
            word,
            f"The API said that a limit is reached ({status}: {said}); try again {later}",
            Reason.ERROR,
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return word, f"The API is in trouble ({status}: {said}); try again {later}", Reason.ERROR
    return word, f"The API refused ({status}: {said}); put that right and run it again", Reason.ERROR


def _without_result(ended: Ended) -> Verdict:
    said = _short(ended.stderr)
    if "root/sudo" in said:
        error = "Claude Code does not work in mode full as root; run the worker as an ordinary user"
        return Verdict("refused", error, Reason.REJECTED, ended.text)
    why = f": {said}" if said else " and printed no error"
    way = (
        "run claude on this machine to see more"
        if not ended.text
        else f"go on with session {ended.ask.session}"
    )
    error = f"Claude Code {ended_with(ended.returncode)} before it had a result{why}; {way}"
    return Verdict("no_result", error, Reason.EXIT_STATUS, ended.text)


def _short(text: str) -> str:
    """What it said in one line, without the dots and sentence marks at its end."""
    words = " ".join(re.sub(r"\[claude-code:\w+\] \{[^}]*\}", "", text[:10_000]).split())
    return words[:_SAID_CHARS].rstrip(". ")
