from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from shepherd.coreset.sketch import sketch
from shepherd.messages import ClientSummary


def grouped(
    client: int, examples: int, groups: int, width: int = 2, representatives: int = 1, seed: int = 0
) -> ClientSummary:
    """Return the summary of a client whose example i is in group i modulo `groups`; group 0's last is in none."""
    random = np.random.default_rng((seed, client))
    labels = np.arange(examples) % groups
    labels[-1] = -1
    found = np.full((groups, representatives), -1)
    for group in range(groups):
        own = np.flatnonzero(labels == group)[:representatives]
        found[group, : len(own)] = own
    means = torch.from_numpy(random.standard_normal((groups, 16)).astype(np.float32))
    kept = {
        "points": torch.from_numpy(random.standard_normal((examples, width)).astype(np.float32)),
        "labels": torch.from_numpy(labels),
        "representatives": torch.from_numpy(found),
        "means": means,
        "round": 0,
    }
    return ClientSummary(client, {"means": means}, kept)


def sketched(summaries: list[ClientSummary], choices: dict[int, Any]) -> dict[str, Any]:
    names = [f"client-{number}" for number in range(100)]
    found = sketch(3, names, {summary.client: summary for summary in summaries}, choices)
    assert found is not None
    again: dict[str, Any] = json.loads(json.dumps(found))
    assert again == found
    return found


def test_a_selection_is_told_as_it_was() -> None:
    one, other = grouped(4, 20, 3), grouped(7, 10, 2)
    found = sketched([one, other], {4: [0, 2]})
    assert [found[key] for key in ("round", "clients_asked", "groups_found", "groups_survived")] == [
        3,
        2,
        5,
        2,
    ]
    first, second = found["clients"]
    assert (first["name"], first["examples"], first["groups"], first["selected"]) == ("client-4", 20, 3, 2)
    assert first["points"] == np.round(one.kept["points"].numpy().astype(float), 3).tolist()
    assert first["labels"] == one.kept["labels"].tolist()
    assert first["chosen"] == [0, 2]
    assert (second["name"], second["selected"], second["chosen"]) == ("client-7", 0, [])
    assert [group["client"] for group in found["groups"]] == ["client-4"] * 3 + ["client-7"] * 2
    assert [group["survived"] for group in found["groups"]] == [True, False, True, False, False]


def test_the_same_selection_gives_the_same_bytes() -> None:
    first, again = (
        sketched([grouped(k, 60, 4, width=16) for k in range(5)], {1: [0], 3: [2, 3]}) for _ in range(2)
    )
    assert json.dumps(first) == json.dumps(again)


def test_wide_frames_become_planes_that_keep_the_greatest_distances() -> None:
    client = grouped(0, 50, 2, width=5)
    client.kept["points"][:, 2:] *= 1e-6
    points = client.kept["points"].numpy()
    plane = np.array(sketched([client], {})["clients"][0]["points"])
    wide, flat = (np.linalg.norm(p[:, None] - p[None], axis=2) for p in (points, plane))
    np.testing.assert_allclose(wide, flat, atol=5e-3)


def test_points_that_are_all_near_one_another_stay_apart() -> None:
    client = grouped(0, 50, 2)
    client.kept["points"] *= 1e-5
    plane = np.array(sketched([client], {})["clients"][0]["points"])
    np.testing.assert_allclose(plane, client.kept["points"].numpy(), atol=1e-8)


def test_nine_clients_are_shown_and_those_that_train_first() -> None:
    summaries = [grouped(k, 40, 2 + k) for k in range(20)]
    found = sketched(summaries, {0: [0], 5: [1]})
    assert [client["name"] for client in found["clients"]] == [
        "client-0", "client-5", *(f"client-{k}" for k in range(13, 20)),
    ]  # fmt: skip
    assert found["clients_asked"] == 20
    assert len(found["groups"]) == found["groups_found"] == sum(2 + k for k in range(20))


def test_of_many_points_all_that_are_trained_on_and_some_of_the_rest_are_shown() -> None:
    (client,) = sketched([grouped(0, 5000, 40)], {0: list(range(40))})["clients"]
    assert len(client["points"]) == len(client["labels"]) == 300
    assert (client["examples"], client["selected"], len(client["chosen"])) == (5000, 40, 40)
    assert {client["labels"][place] for place in client["chosen"]} == set(range(40))


def test_of_too_many_chosen_as_many_others_are_shown() -> None:
    (client,) = sketched([grouped(0, 5000, 400)], {0: list(range(400))})["clients"]
    assert (len(client["points"]), len(client["chosen"]), client["selected"]) == (300, 150, 400)


def test_of_many_groups_the_survivors_and_some_of_the_rest_are_shown() -> None:
    found = sketched([grouped(k, 900, 800) for k in range(4)], {2: [5, 700]})
    assert (found["groups_found"], len(found["groups"])) == (3200, 2000)
    assert sum(group["survived"] for group in found["groups"]) == found["groups_survived"] == 2


def test_a_coreset_within_another_is_found() -> None:
    inner = grouped(0, 20, 3)
    outer = ClientSummary(0, inner.message, {"admitted": torch.arange(20), "then": inner.kept})
    assert sketched([outer], {0: [1]}) == sketched([inner], {0: [1]})


def test_groups_with_fewer_members_than_representatives_choose_nothing_twice() -> None:
    (client,) = sketched([grouped(0, 4, 2, representatives=3)], {0: [0, 1]})["clients"]
    assert (client["chosen"], client["selected"]) == ([0, 1, 2], 3)


def test_a_coreset_without_groups_leaves_nothing() -> None:
    kept = {"round": 0, "chosen": torch.tensor([1])}
    nested = {"admitted": torch.arange(3), "then": {}}
    for summary in (ClientSummary(0, {}, kept), ClientSummary(0, {}, nested)):
        assert sketch(1, ["a"], {0: summary}, {0: None}) is None
    assert sketch(1, ["a"], {}, {}) is None
