"""What is said about asking a judge: beforehand what it would cost, afterwards what it did."""

from __future__ import annotations

from shepherd.endpoint import Spent
from shepherd.judge.judging import Outcome, Plan
from shepherd.units import count, counted

_EXAMPLE = 100


def of_plan(plan: Plan, retries: int) -> str:
    """Return what asking would come to."""
    estimate = plan.estimate
    given = f"{counted(plan.ratings, 'rating')}, {plan.settled:,} of them given and paid for already"
    if not estimate.calls:
        return f"{given}: there is nothing to ask."
    return (
        f"{given}: {counted(estimate.calls, 'call')}, {_tokens(estimate.prompt_tokens)} sent (by {estimate.rule}), "
        f"at most {_tokens(estimate.completion_tokens)} received, {_price(estimate.usd, 'at most ')}. "
        f"A reply that cannot be read is asked for again, up to {counted(retries, 'time')} more."
    )


def of_outcome(outcome: Outcome, retries: int) -> list[str]:
    """Return what could not be read and what is not there, if anything."""
    said = []
    if outcome.unreadable:
        first = outcome.unreadable[0]
        words = " ".join(first.reason.split())
        shown = words if len(words) <= _EXAMPLE else words[: _EXAMPLE - 1] + "…"
        said.append(
            f"{len(outcome.unreadable):,} of {counted(len(outcome.judgements), 'rating')} could not be read, asked "
            f"{counted(retries + 1, 'time')} each. The first, on question {first.question}: “{shown}”"
        )
    if outcome.absent:
        said.append(
            f"Not there, though asked for earlier: {counted(outcome.absent, 'rating')}. Asking was interrupted, or the "
            "answers have changed since. The command that asked goes on."
        )
    return said


def of_spent(spent: Spent) -> str:
    """Return what was paid for."""
    if not spent.calls:
        return "Nothing was asked: every rating was given, and paid for, before."
    uncounted = f"; the server counted no tokens of {spent.uncounted:,} of them" if spent.uncounted else ""
    return (
        f"{counted(spent.calls, 'call')}, {_tokens(spent.prompt_tokens)} sent, "
        f"{_tokens(spent.completion_tokens)} received, {_price(spent.usd)}{uncounted}."
    )


def _tokens(number: int) -> str:
    return "1 token" if number == 1 else f"{count(number)} tokens"


def _price(usd: float | None, most: str = "") -> str:
    if usd is None:
        return "at a price not known (--price-in and --price-out say it)"
    return f"{most}{usd:,.2f} USD" if usd >= 0.01 or usd == 0 else f"{most}{usd:.2g} USD"
