"""Participation in whole runs: what polling costs and says, what coverage is told, and rounds without anybody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shepherd.model.batch import load
from shepherd.model.losses import example_losses
from shepherd.preparation import deal, prepare
from shepherd.randomness import generator
from shepherd.runs import execute
from tiny_runs import lines, named

POLLED = {"name": "power_of_choice", "count": 2, "drawn": 4}


@pytest.mark.parametrize("most", [None, 3])
def test_polling_is_in_the_rounds_bytes_and_says_the_adapters_loss(
    tiny: dict[str, Any], most: int | None
) -> None:
    config = named(tiny, "polled", rounds=2, participation={**POLLED, "poll_examples": most})
    execute(config)
    found = [line for line in lines(config) if line["round"] == 1]
    polls, clients = ([line for line in found if line["scope"] == scope] for scope in ("poll", "client"))
    (summary,) = (line for line in found if line["scope"] == "round")
    trained = {line["client"] for line in clients}
    assert len(polls) == 4
    assert trained == {poll["client"] for poll in sorted(polls, key=lambda poll: -poll["loss"])[:2]}
    for poll in polls:
        assert poll["bytes_down"] == (0 if poll["client"] in trained else clients[0]["bytes_down"])
        assert 0 < poll["bytes_up"] < 200
    for way in ("bytes_up", "bytes_down"):
        assert summary[way] == sum(line[way] for line in [*polls, *clients])
    prepared = prepare(config)
    for poll in polls:
        view = prepared.population.client(list(prepared.population.names).index(poll["client"]))
        rows = view.rows
        if most is not None and len(rows) > most:
            draw = generator(config.seed, "poll", 0, view.number)
            rows = rows[sorted(draw.choice(len(rows), most, replace=False))]
        # In the first round the adapter changes nothing yet.
        assert poll["loss"] == pytest.approx(example_losses(prepared.model, load(view.examples, rows)).mean)


def test_coverage_is_told_the_categories_of_every_client(tiny: dict[str, Any]) -> None:
    participation = {"name": "coverage", "count": 2, "drawn": 5}
    config = named(tiny, "covered", rounds=1, participation=participation)
    prepared = prepare(config)
    counts = prepared.dealt.category_counts()
    assert [sum(held.values()) for held in counts] == list(prepared.population.sizes)
    heterogeneity = prepared.dealt.heterogeneity()
    for client, held in enumerate(counts):
        own = dict(zip(heterogeneity.categories, heterogeneity.counts[client].tolist(), strict=True))
        assert held == {name: count for name, count in own.items() if count}
    execute(config)
    assert sum(line["scope"] == "client" for line in lines(config)) == 2


def test_a_round_of_nobody_leaves_the_adapter_as_it_was(tiny: dict[str, Any]) -> None:
    participation = {"name": "fedcs", "count": 2, "deadline_s": 1e-12}
    config = named(tiny, "nobody", rounds=2, participation=participation, system={"name": "synchronous"})
    execute(config)
    found = lines(config)
    assert [line["clients"] for line in found if line["scope"] == "round"] == [0, 0]
    losses = [line["loss"] for line in found if line["scope"] == "global"]
    assert losses == [losses[0]] * len(losses)


def test_of_more_that_are_invited_a_simulated_system_drops_the_late(tiny: dict[str, Any]) -> None:
    then = {"name": "random", "count": 2, "over_selection": 1.5}
    system = {"name": "synchronous", "devices": {"name": "lognormal"}}
    config = named(tiny, "more", rounds=1, participation={"name": "trace", "then": then}, system=system)
    execute(config)
    found = lines(config)
    assert [line["clients"] for line in found if line["scope"] == "round"] == [2]
    assert sum(line.get("fate") == "late" for line in found) == 1


def test_who_is_away_answers_no_poll(tiny: dict[str, Any], tmp_path: Path) -> None:
    names = deal(named(tiny)).allocated.names
    there = tmp_path / "there.csv"
    intervals = [f"{name},{0 if place != 2 else 1e8},1e9" for place, name in enumerate(names)]
    there.write_text("\n".join(["client,on_s,off_s", *intervals]) + "\n")
    system = {"availability": {"name": "intervals", "path": str(there), "assign": "by_name"}}
    config = named(tiny, "away", rounds=1, participation={**POLLED, "drawn": 5}, system=system)
    execute(config)
    found = lines(config)
    assert {line["client"] for line in found if line["scope"] == "poll"} == set(names) - {names[2]}
    assert [line["clients"] for line in found if line["scope"] == "round"] == [2]
