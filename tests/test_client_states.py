from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shepherd.client_states import ClientStates
from shepherd.errors import ShepherdError
from shepherd.model.adapter import Adapter
from shepherd.state import RunState, load_state, save_state

ADAPTER = Adapter({"a": torch.zeros(2)})


def kept(client: int, round: int) -> dict[str, Any]:
    return {"moments": torch.full((3,), float(client + 10 * round)), "seen": round}


def run(folder: Path, cohorts: list[list[int]], keep: int = 2) -> RunState:
    state = RunState(0, ADAPTER)
    for cohort in cohorts:
        found = {str(client): kept(client, state.round + 1) for client in cohort}
        state = save_state(state.advance(clients=state.clients.after(found)), folder, keep)
    return state


COHORTS = [[0, 1, 2], [2, 3], [0, 1234567], [3], [0, 2]]
LAST = {0: 5, 1: 1, 2: 5, 3: 4, 1234567: 3}


def test_everybody_gets_back_what_it_kept_last(tmp_path: Path) -> None:
    finished = run(tmp_path, COHORTS)
    loaded = load_state(tmp_path, ADAPTER)
    assert loaded is not None
    for state in (finished, loaded):
        assert set(state.clients) == {str(client) for client in LAST}
        assert len(state.clients) == len(LAST)
        for client, round in LAST.items():
            found = state.clients[str(client)]
            assert found["seen"] == round
            assert torch.equal(found["moments"], kept(client, round)["moments"])
        assert state.clients.get("4", {}) == {}


def test_only_the_last_cohort_is_in_memory(tmp_path: Path) -> None:
    state = run(tmp_path, COHORTS)
    assert set(state.clients.fresh) == {"0", "2"}
    assert not load_state(tmp_path, ADAPTER).clients.fresh  # type: ignore[union-attr]


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_every_kept_checkpoint_has_its_files_and_hardly_more(tmp_path: Path, keep: int) -> None:
    random = np.random.default_rng(keep)
    cohorts = [[int(c) for c in random.choice(6, size=3, replace=False)] for _ in range(9)]
    run(tmp_path, cohorts, keep)
    while newer := sorted(tmp_path.glob("round-*")):
        state = load_state(tmp_path, ADAPTER)
        assert state is not None
        for client in range(6):
            last = max((r for r in range(1, 10) if r <= state.round and client in cohorts[r - 1]), default=0)
            assert state.clients.get(str(client), {"seen": 0})["seen"] == last
        for file in newer[-1].iterdir():
            file.unlink()
        newer[-1].rmdir()
    files = list((tmp_path / "clients").rglob("*.safetensors"))
    assert len(files) <= 6 * (keep + 1)


def test_a_damaged_file_is_said_and_never_used(tmp_path: Path) -> None:
    run(tmp_path, COHORTS)
    path = next((tmp_path / "clients").rglob("1/*.safetensors"))
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    state = load_state(tmp_path, ADAPTER)
    assert state is not None
    with pytest.raises(ShepherdError, match=r"client 1 kept, .* is damaged"):
        state.clients["1"]


def test_without_a_folder_all_stay_in_memory() -> None:
    states = ClientStates().after({"1": kept(1, 1)}).after({"2": kept(2, 2)})
    assert [states[client]["seen"] for client in states] == [1, 2]
