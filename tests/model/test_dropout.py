from __future__ import annotations

import numpy as np
import pytest
import torch

from shepherd.model.dropout import Dropout, token_keys


def kept(keys: np.ndarray, share: float, layer: int = 0, features: int = 400) -> torch.Tensor:
    x = torch.zeros(len(keys), features)
    return Dropout(torch.from_numpy(keys.view(np.int64))).kept(layer, share, x)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.9])
def test_the_share_drops_out_and_the_rest_makes_up_for_it(share: float) -> None:
    factors = kept(token_keys(3, 1, 2, 300), share)
    assert factors.unique().tolist() == pytest.approx([0, 1 / (1 - share)])
    # 120,000 draws: six standard deviations.
    assert abs((factors == 0).double().mean() - share) < 6 * (share * (1 - share) / factors.numel()) ** 0.5


def test_neither_tokens_nor_features_nor_layers_drop_out_alike() -> None:
    keys = token_keys(3, 1, 2, 200)
    zero = (kept(keys, 0.5) == 0).double() - 0.5
    other = (kept(keys, 0.5, layer=1) == 0).double() - 0.5
    assert abs((zero * other).mean()) < 0.01
    assert abs((zero[1:] * zero[:-1]).mean()) < 0.01
    assert abs((zero[:, 1:] * zero[:, :-1]).mean()) < 0.01


@pytest.mark.parametrize("address", [(4, 1, 2), (3, 2, 2), (3, 1, 3)])
def test_every_part_of_the_address_counts(address: tuple[int, int, int]) -> None:
    here = kept(token_keys(3, 1, 2, 50), 0.5)
    assert ((here == 0) == (kept(token_keys(*address, 50), 0.5) == 0)).double().mean() < 0.6


def test_a_token_keeps_its_key_wherever_the_batch_begins() -> None:
    assert (token_keys(3, 1, 2, 30)[7:] == token_keys(3, 1, 2, 23, start=7)).all()
