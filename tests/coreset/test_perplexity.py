from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from shepherd.coreset import Perplexity
from shepherd.data.population import ClientView
from shepherd.messages import ClientJob
from shepherd.model.adapted import AdaptedModel


def test_each_end_and_the_middle_against_a_loss_of_its_own(
    view: Callable[..., ClientView], job: Callable[..., ClientJob], model: AdaptedModel
) -> None:
    client, asked = view(), job()
    model.write(asked.adapter)
    losses = {}
    for row in client.rows:
        tokens, prompt = client.examples.example(int(row))
        ids = torch.from_numpy(tokens)[None]
        with torch.no_grad():
            logits = model.peft(input_ids=ids).logits[0, prompt - 1 : -1]
        losses[int(row)] = float(torch.nn.functional.cross_entropy(logits, ids[0, prompt:]))
    order = sorted(losses, key=lambda row: losses[row])
    median = np.median(list(losses.values()))
    nearest = sorted(losses, key=lambda row: abs(losses[row] - median))[:6]
    model.write(model.initial)  # it is the round's adapter that counts, not the one that was left there

    def kept(keep: str) -> list[int]:
        rule = Perplexity(keep=keep, count=6)
        own = rule.summarise(client, asked, model)
        assert own.wire_bytes == 0
        return list(rule.examples(client, job(kept=own.kept), model))

    assert kept("lowest") == sorted(order[:6])
    assert kept("highest") == sorted(order[-6:])
    assert kept("middle") == sorted(nearest)
