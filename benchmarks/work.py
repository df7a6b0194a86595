"""How much work training is, and how fast this machine does the like: what the benchmarks take shares of."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from shepherd.model.adapted import AdaptedModel
from shepherd.model.batch import Example, count_labels


def training_work(model: AdaptedModel, examples: Sequence[Example]) -> float:
    """Return the FLOPs of training on real tokens: 4 for each frozen weight, 6 for each trained one, and attention."""
    base, config = model.base.model, model.base.model.config
    lengths = [len(tokens) for tokens, _ in examples]
    head = base.get_output_embeddings().weight
    tables = {id(weight): weight.numel() for weight in (base.get_input_embeddings().weight, head)}
    frozen, trained = model.counts()
    # Forward, two products over the half of the positions that a causal model sees; backward, twice that.
    attention = 6 * config.num_hidden_layers * config.hidden_size * sum(length**2 for length in lengths)
    every_token = 4 * (frozen - sum(tables.values())) + 6 * trained
    return sum(lengths) * every_token + count_labels(examples) * 4 * head.numel() + attention


def matrix_rate(one: torch.Tensor, other: torch.Tensor, turns: int = 20) -> float:
    """Return the FLOP/s of the best of some products of two matrices."""
    best = float("inf")
    for _ in range(turns):
        synchronise(one.device)
        began = time.perf_counter()
        one @ other
        synchronise(one.device)
        best = min(best, time.perf_counter() - began)
    return 2 * one.numel() * other.shape[1] / best


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has done what it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
