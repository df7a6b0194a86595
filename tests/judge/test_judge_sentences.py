"""What is said about asking a judge: of one as of many."""

from __future__ import annotations

from shepherd.endpoint import Estimate, Spent
from shepherd.judge.judgement import Judgement
from shepherd.judge.judging import Outcome, Plan
from shepherd.judge.sentences import of_outcome, of_plan, of_spent


def test_one_of_something_is_said_in_the_singular() -> None:
    plan = Plan(1, 0, Estimate(1, 1, 1024, None, "a guess"))
    assert of_plan(plan, 1).startswith("1 rating, 0 of them given and paid for already: 1 call, 1 token sent")
    assert of_plan(plan, 1).endswith("up to 1 time more.")
    silent = Judgement("scores", "q", "m", "r", False, 0, None, None, None, "?", False, "key")
    assert of_outcome(Outcome([silent], 1, []), 0) == [
        "1 of 1 rating could not be read, asked 1 time each. The first, on question q: “?”",
        "Not there, though asked for earlier: 1 rating. Asking was interrupted, or the answers have changed since. "
        "The command that asked goes on.",
    ]
    assert of_spent(Spent(1, 1, 2000, 3.0)) == "1 call, 1 token sent, 2.00 K tokens received, 3.00 USD."
