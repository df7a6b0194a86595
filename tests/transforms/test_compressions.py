"""What every compression promises: shapes, addresses, refusals, bytes; and that it is the last transform."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from compressions import EVERY, compressed, named, received, seeds, shapes, update_of
from hypothesis import given, settings

from shepherd.config import parse_config
from shepherd.errors import ShepherdError
from shepherd.model.adapter import Adapter
from shepherd.strategy import Strategy
from shepherd.transforms import Compression, Half, LowRankUpdate, Quantise, TopK
from shepherd.tree import to_bytes

LARGE = update_of([[64, 300], [200, 8], [40]])


@pytest.mark.parametrize("compression", EVERY, ids=named)
@settings(max_examples=8)
@given(shapes=shapes, seed=seeds)
def test_what_is_read_is_shaped_as_the_update_and_finite(
    compression: Compression, shapes: list[list[int]], seed: int
) -> None:
    update = update_of(shapes, seed)
    found = received(compression, compressed(compression, update, seed).message, update)
    assert found.layout == update.layout
    assert bool(found.vector.isfinite().all())


@pytest.mark.parametrize("compression", EVERY, ids=named)
def test_the_draws_belong_to_the_address(compression: Compression) -> None:
    once, again = (to_bytes(compressed(compression, LARGE, at=3).message) for _ in range(2))
    assert once == again


@pytest.mark.parametrize("compression", EVERY, ids=named)
def test_an_update_of_zeros_stays_one(compression: Compression) -> None:
    zero = LARGE * 0.0
    found = received(compression, compressed(compression, zero).message, zero)
    assert found.norm() == 0


@pytest.mark.parametrize("compression", EVERY, ids=named)
def test_an_adapter_of_nothing_is_sent_as_nothing(compression: Compression) -> None:
    nothing = Adapter({})
    assert received(compression, compressed(compression, nothing).message, nothing).parameters == 0


@pytest.mark.parametrize(
    ("compression", "values"),
    [
        (Half(), 2 * 20840),
        (Half(dtype="bfloat16"), 2 * 20840),
        (Quantise(bits=8), 20840 + 4 * 82),
        (Quantise(bits=4, block=1024), 20840 // 2 + 4 * 21),
        (Quantise(bits=2, block=1024), 20840 // 4 + 4 * 21),
        (Quantise(bits=1, block=1024), 20840 // 8 + 4 * 21),
        (LowRankUpdate(rank=2), 4 * (2 * 364 + 2 * 208 + 40)),
        (LowRankUpdate(rank=2, values=Half()), 2 * (2 * 364 + 2 * 208 + 40)),
    ],
    ids=str,
)
def test_a_message_has_the_bytes_of_its_values_and_little_more(compression: Compression, values: int) -> None:
    assert values <= len(to_bytes(compressed(compression, LARGE).message)) <= values + 450


def test_one_value_in_a_hundred_takes_about_two_bytes_with_its_place() -> None:
    update = update_of([[200_000]])
    message = compressed(TopK(ratio=0.01, values=Quantise(bits=8)), update).message
    assert len(to_bytes(message)) < 2000 * 2.2 + 500
    plain = compressed(TopK(ratio=0.01), update).message
    assert len(to_bytes(plain)) < 2000 * 5.2 + 500


@pytest.mark.parametrize("compression", EVERY, ids=named)
@pytest.mark.parametrize("message", [{}, {"values": 1}, {"codes": torch.zeros(3)}, [1], "x"], ids=str)
def test_a_message_of_something_else_is_refused_in_one_sentence(
    compression: Compression, message: Any
) -> None:
    with pytest.raises(ShepherdError, match=r"^The update is no message of [a-z_]+: it .*\.$") as caught:
        compression.decompress(message, LARGE.layout)
    assert "\n" not in str(caught.value)


def spoilt(compression: Compression, place: str, change: Any) -> dict[str, Any]:
    message: Any = dict(compressed(compression, LARGE).message)
    inner = message
    *path, last = place.split(".")
    for key in path:
        inner[key] = dict(inner[key])
        inner = inner[key]
    inner[last] = change(inner[last])
    return message


def with_first(value: float) -> Any:
    def change(tensor: torch.Tensor) -> torch.Tensor:
        changed = tensor.clone()
        changed[0] = value
        return changed

    return change


NAN, INF = float("nan"), float("inf")
TOP = TopK(ratio=0.01, values=Quantise(bits=8))


@pytest.mark.parametrize(
    ("compression", "place", "change", "said"),
    [
        (TopK(), "values", lambda v: v[:-1], "207 'values', not 208"),
        (TopK(), "values", lambda v: v.double(), "no vector of float32"),
        (TopK(), "values", with_first(NAN), "not finite"),
        (TopK(), "gaps", lambda g: g[:-1], "207 places, not 208"),
        (TopK(), "gaps", lambda g: torch.cat([g, torch.tensor([3], dtype=torch.uint8)]), "209 places"),
        (TopK(), "gaps", lambda g: torch.cat([torch.full((40,), 255, dtype=torch.uint8), g]), "beyond"),
        (TopK(), "gaps", lambda g: g.view(2, -1), "no vector of uint8"),
        (TOP, "values.codes", with_first(255), "no levels"),
        (TOP, "values", lambda v: torch.zeros(208), "does not have the parts codes, scales"),
        (Quantise(), "codes", lambda c: c[1:], "20,839 'codes', not 20,840"),
        (Quantise(), "scales", lambda s: s[1:], "81 'scales', not 82"),
        (Quantise(), "scales", with_first(-1), "negative"),
        (Quantise(), "scales", with_first(INF), "not finite"),
        (Quantise(bits=4), "codes", with_first(255), "no levels"),
        (Half(), "values", with_first(INF), "not finite"),
        (Half(), "values", lambda v: v.bfloat16(), "no vector of float16"),
        (Half(), "exponent", lambda e: 201, "'exponent'"),
        (Half(), "exponent", lambda e: True, "'exponent'"),
        (Half(), "exponent", lambda e: 150, "not finite"),
        (LowRankUpdate(), "values", lambda v: v[1:], "1,183 'values', not 1,184"),
        (LowRankUpdate(), "values", with_first(NAN), "not finite"),
    ],
)
def test_a_damaged_message_is_refused_with_what_is_wrong(
    compression: Compression, place: str, change: Any, said: str
) -> None:
    with pytest.raises(ShepherdError, match=said):
        compression.decompress(spoilt(compression, place, change), LARGE.layout)


@pytest.mark.parametrize(
    ("gaps", "said"),
    [
        (torch.zeros(10**6, dtype=torch.uint8), "1,000,000 places, not 208"),
        (torch.full((10**6,), 255, dtype=torch.uint8), "0 places, not 208"),
        (
            torch.arange(10**6).lt(208).logical_not() * torch.tensor(255, dtype=torch.uint8),
            "289 are the most",
        ),
    ],
    ids=["too many places", "none", "too many skips"],
)
def test_places_are_counted_before_they_are_widened(
    gaps: torch.Tensor, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shepherd.transforms.topk.read_gaps", None)
    message = {"gaps": gaps, "values": torch.zeros(208)}
    with pytest.raises(ShepherdError, match=said):
        TopK().decompress(message, LARGE.layout)


def test_what_stands_behind_the_last_code_must_be_nothing() -> None:
    compression, update = Quantise(bits=1), update_of([[9]])
    message = compressed(compression, update).message
    message = {**message, "codes": message["codes"] | 128}
    with pytest.raises(ShepherdError, match="no levels"):
        compression.decompress(message, update.layout)


@pytest.mark.parametrize(
    ("transforms", "said"),
    [
        (["topk", "clip"], "transforms has topk before clip"),
        (["topk", "quantise"], "set the field values"),
        ([{"name": "topk", "ratio": 0}], "greater than 0"),
        ([{"name": "topk", "count": 0}], "greater than 0"),
        ([{"name": "quantise", "bits": 3}], "bits"),
        ([{"name": "half", "dtype": "float8"}], "dtype"),
        ([{"name": "low_rank", "rank": 0}], "greater than 0"),
        ([{"name": "topk", "values": "clip"}], "there is no compression called 'clip'"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_config(transforms: Any, said: str) -> None:
    with pytest.raises(ShepherdError, match=said):
        parse_config({"transforms": transforms})


def test_a_config_with_a_chain_survives_its_own_yaml() -> None:
    chain = {"name": "topk", "ratio": 0.1, "values": {"name": "quantise", "bits": 4}}
    config = parse_config({"transforms": ["clip", chain]})
    assert parse_config(config.resolved()) == config
    inner = config.transforms[-1].values
    assert isinstance(inner, Strategy)
    assert inner == Quantise(bits=4)


@pytest.mark.parametrize(
    ("compression", "lengthens"),
    [
        (TopK(), True),
        (TopK(feedback=False), False),
        (TopK(feedback=False, values=Quantise()), True),
        (LowRankUpdate(feedback=False, values=Half()), False),
        (Quantise(), True),
        (Half(), False),
    ],
    ids=str,
)
def test_who_may_lengthen_an_update_says_so(compression: Compression, lengthens: bool) -> None:
    assert compression.lengthens is lengthens
    if not lengthens:
        found = received(compression, compressed(compression, LARGE).message, LARGE)
        assert found.norm() <= LARGE.norm() * (1 + 2**-8)
