"""How many take part is asked and refused alike by every strategy that counts."""

from __future__ import annotations

from typing import Any

import pytest

from shepherd.config import parse_config
from shepherd.errors import ShepherdError
from shepherd.participation import (
    Candidates,
    CountedParticipation,
    Coverage,
    DivFL,
    FedCS,
    Only,
    Oort,
    Participation,
    PowerOfChoice,
    Random,
    RoundRobin,
    Trace,
    Weighted,
)
from shepherd.tree import Tree

COUNTED: list[CountedParticipation] = [
    Random(count=3),
    RoundRobin(count=3),
    Weighted(count=3),
    PowerOfChoice(count=3),
    PowerOfChoice(count=3, losses="last"),
    Oort(count=3),
    DivFL(count=3),
    Coverage(count=3),
    FedCS(count=3, deadline_s=1e6),
]
IDS = [f"{rule.name} {getattr(rule, 'losses', '')}".strip() for rule in COUNTED]


class Fast:
    """Devices of which every second one is there, each as fast as its number."""

    def available(self, client: int) -> bool:
        return client % 2 == 0

    def expected_seconds(self, client: int, examples: int) -> float:
        return float(client * examples)


def everybody(clients: int, round: int = 0, **more: Any) -> Candidates:
    return Candidates(
        round,
        7,
        [client + 1 for client in range(clients)],
        [str(client) for client in range(clients)],
        categories=[{"a": 1, str(client % 3): 2} for client in range(clients)],
        losses=lambda asked, examples=None: {client: float(client % 4) for client in asked},
        devices=Fast(),
        **more,
    )


@pytest.mark.parametrize("rule", COUNTED, ids=IDS)
def test_a_cohort_is_so_many_in_ascending_order_and_depends_on_the_round_alone(
    rule: CountedParticipation,
) -> None:
    state: Tree = {}
    for round in range(4):
        chosen = rule.select(everybody(10, round), state)
        assert chosen == sorted(set(chosen)) == rule.select(everybody(10, round), state)
        assert len(chosen) == rule.cohort_size(10) == 3
        state = rule.observe(everybody(10, round), [], state)


@pytest.mark.parametrize("rule", COUNTED, ids=IDS)
def test_more_than_there_are_is_refused(rule: CountedParticipation) -> None:
    with pytest.raises(ShepherdError, match=r"participation\.count is 3 but there are only 2 clients"):
        rule.select(everybody(2), {})


@pytest.mark.parametrize("rule", COUNTED, ids=IDS)
def test_over_selection_invites_more_and_aims_at_as_many(rule: CountedParticipation) -> None:
    more = rule.model_copy(update={"over_selection": 1.3})
    assert len(more.select(everybody(10), {})) == 4
    assert more.cohort_size(10) == 3


@pytest.mark.parametrize("rule", COUNTED, ids=IDS)
def test_only_those_that_are_available_are_chosen_and_fewer_where_there_are_fewer(
    rule: CountedParticipation,
) -> None:
    trace = Trace(then=rule)
    assert set(trace.select(everybody(12), {})) <= {0, 2, 4, 6, 8, 10}
    assert len(trace.select(everybody(12), {})) == 3 == trace.cohort_size(12)
    assert trace.select(everybody(4), {}) == [0, 2]
    assert trace.asks_categories == rule.asks_categories


def test_trace_chooses_nobody_where_nobody_is_there() -> None:
    class Away(Fast):
        def available(self, client: int) -> bool:
            return False

    candidates = Candidates(0, 0, [1, 1], devices=Away())
    for rule in (Random(count=1), RoundRobin(count=1), Weighted(count=1), Oort(count=1), DivFL(count=1)):
        assert Trace(then=rule).select(candidates, {}) == []


@pytest.mark.parametrize(
    ("participation", "said"),
    [
        ({"name": "random", "over_selection": 1.3}, "without a simulated system nobody is late"),
        ({"name": "trace"}, "needs to know when devices are available; set system, or .*name=random"),
        ({"name": "fedcs", "deadline_s": 9}, "needs to know how fast devices are; set system"),
        ({"name": "fedcs"}, "deadline_s"),
        (
            {"name": "fedcs", "deadline_seconds": 9},
            "no key 'deadline_seconds' here; did you mean 'deadline_s'",
        ),
        ({"name": "fedcs", "deadline_s": 0}, "greater than 0"),
        ({"name": "weighted", "fraction": 0.1, "count": 2}, "fraction or count, not both"),
        ({"name": "oort", "over_selection": 0.9}, "greater than or equal to 1"),
        ({"name": "oort", "cut_off": 1.1}, "less than or equal to 1"),
        ({"name": "divfl", "explore": 0}, "greater than 0"),
        ({"name": "power_of_choice", "losses": "guessed"}, "'polled' or 'last'"),
        (
            {"name": "power_of_choice", "losses": "last", "poll_examples": 3},
            "nobody is polled; leave poll_ex",
        ),
        ({"name": "coverage", "towards": "x"}, "'population' or 'uniform'"),
    ],
)
def test_settings_that_cannot_serve_are_refused_in_a_sentence(
    participation: dict[str, Any], said: str
) -> None:
    with pytest.raises(ShepherdError, match=said):
        parse_config({"participation": participation})


@pytest.mark.parametrize(
    ("participation", "said"),
    [
        (Random(count=11), r"participation\.count is 11 but there are only 10 clients"),
        (PowerOfChoice(count=3, drawn=2), r"participation\.drawn is 2.* from 3 to 10"),
        (Coverage(count=3, drawn=11), r"participation\.drawn is 11.* from 3 to 10"),
        (Only(clients=[3, 10]), "names client 10, but clients run from 0 to 9"),
        (Trace(then=Only(clients=[-1])), "names client -1"),
    ],
)
def test_whom_there_is_nobody_of_is_refused_before_anybody_is_chosen(
    participation: Participation, said: str
) -> None:
    with pytest.raises(ShepherdError, match=said):
        participation.check(10)


def test_more_are_invited_only_where_somebody_is_waited_for() -> None:
    values = {"participation": {"name": "random", "over_selection": 1.3}, "system": "fedbuff"}
    with pytest.raises(
        ShepherdError, match=r"name=fedbuff waits for nobody, .* set system\.name=synchronous"
    ):
        parse_config(values)
    assert parse_config({**values, "system": "synchronous"}).participation.most_chosen(100) == 13


def test_polling_is_refused_where_no_cohort_is_chosen() -> None:
    values = {"system": "fedbuff", "participation": {"name": "trace", "then": {"name": "power_of_choice"}}}
    with pytest.raises(ShepherdError, match="asks one client after another, at random; give it losses=last"):
        parse_config(values)
    values["participation"] = {"name": "power_of_choice", "losses": "last", "fraction": 1.0}
    assert parse_config(values).system is not None


def test_a_strategy_that_does_not_say_may_choose_everybody() -> None:
    assert Participation().cohort_size(9) == 9
