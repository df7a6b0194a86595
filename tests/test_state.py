from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shepherd.client_states import ClientStates
from shepherd.errors import ShepherdError
from shepherd.model.adapter import Adapter
from shepherd.state import RunState, has_state, load_state, save_state
from shepherd.tree import from_bytes, to_bytes

ADAPTER = Adapter({"a": torch.arange(6.0).view(2, 3), "b": torch.tensor([-1.5])})

leaves = st.one_of(
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=3),
    st.none(),
    st.builds(
        lambda n, dtype: torch.arange(n).to(dtype),
        st.integers(0, 4),
        st.sampled_from([torch.float32, torch.int64]),
    ),
)
trees = st.dictionaries(
    st.text(st.characters(codec="ascii", exclude_characters="/$"), min_size=1, max_size=4),
    st.recursive(
        leaves, lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, max_size=3), max_leaves=6
    ),
    max_size=3,
)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and one.keys() == other.keys()
            and all(same(one[k], other[k]) for k in one)
        )
    return bool(one == other)


@given(aggregation=trees, clients=st.dictionaries(st.sampled_from(["0", "17"]), trees, max_size=2))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_state_comes_back_as_it_was(tmp_path: Path, aggregation: Any, clients: Any) -> None:
    states = ClientStates().after(clients)
    state = RunState(4, ADAPTER, aggregation=aggregation, clients=states, metrics_bytes=123)
    save_state(state, tmp_path, keep=1)
    found = load_state(tmp_path, ADAPTER)
    assert found is not None
    assert (found.round, found.metrics_bytes) == (4, 123)
    assert same(dict(found.adapter), dict(ADAPTER))
    assert same(found.aggregation, aggregation)
    assert same(dict(found.clients), clients)


def test_one_tensor_may_stand_in_several_places(tmp_path: Path) -> None:
    one = torch.arange(6.0)
    tree = {"whole": one, "again": one, "part": one[2:4]}
    for found in (
        from_bytes(to_bytes(tree)),
        (save_state(RunState(1, ADAPTER, coreset=tree), tmp_path, keep=1), load_state(tmp_path, ADAPTER))[
            1
        ].coreset,  # type: ignore[union-attr]
    ):
        assert all(torch.equal(found[name], tree[name]) for name in tree)


def test_only_the_last_ones_are_kept(tmp_path: Path) -> None:
    assert not has_state(tmp_path)
    assert load_state(tmp_path, ADAPTER) is None
    for number in range(12):
        save_state(RunState(number, ADAPTER), tmp_path, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["round-000010", "round-000011"]
    found = load_state(tmp_path, ADAPTER)
    assert found is not None
    assert found.round == 11


def test_the_same_state_is_the_same_bytes(tmp_path: Path) -> None:
    for place in ("one", "other"):
        save_state(
            RunState(1, ADAPTER, clients=ClientStates().after({"3": {"m": torch.ones(2)}})),
            tmp_path / place,
            keep=1,
        )
    for name in ("state.json", "tensors.safetensors"):
        one, other = (tmp_path / place / "round-000001" / name for place in ("one", "other"))
        assert one.read_bytes() == other.read_bytes()


def damage(name: str, change: Any) -> Any:
    def apply(folder: Path) -> None:
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return apply


@pytest.mark.parametrize(
    "harm",
    [
        damage("tensors.safetensors", lambda data: data[:-1] + bytes([data[-1] ^ 1])),
        damage("tensors.safetensors", lambda data: data[: len(data) // 2]),
        damage("state.json", lambda data: b"{"),
        damage("state.json", lambda data: json.dumps({"round": 1}).encode()),
        lambda folder: (folder / "tensors.safetensors").unlink(),
    ],
)
def test_a_damaged_checkpoint_is_never_trusted(tmp_path: Path, harm: Any) -> None:
    save_state(RunState(1, ADAPTER), tmp_path, keep=1)
    harm(tmp_path / "round-000001")
    with pytest.raises(ShepherdError, match=r"round-000001 is damaged .*delete that folder"):
        load_state(tmp_path, ADAPTER)


def test_a_checkpoint_of_another_adapter_is_refused(tmp_path: Path) -> None:
    save_state(RunState(1, ADAPTER), tmp_path, keep=1)
    with pytest.raises(ShepherdError, match=r"round-000001"):
        load_state(tmp_path, Adapter({"a": torch.zeros(2, 2), "b": torch.zeros(1)}))
