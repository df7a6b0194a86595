from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from shepherd.coreset import Cohort, FedHDS, Random, Relevant
from shepherd.coreset.relevant import response_alignment
from shepherd.data.population import ClientView
from shepherd.errors import ShepherdError
from shepherd.messages import ClientJob
from shepherd.model.adapted import AdaptedModel
from shepherd.model.batch import load

Views, Jobs = Callable[..., ClientView], Callable[..., ClientJob]


def test_alignment_is_the_loss_without_less_the_loss_with_the_prompt(
    view: Views, job: Jobs, model: AdaptedModel
) -> None:
    model.write(job().adapter)
    examples = load(view().examples, view().rows)
    found = response_alignment(model, examples)
    for value, (tokens, prompt) in zip(found[:8], examples, strict=False):
        response = torch.from_numpy(tokens[prompt:])

        def loss(before: Any, response: torch.Tensor = response) -> float:
            ids = torch.cat([torch.as_tensor(before), response])[None]
            with torch.no_grad():
                logits = model.peft(input_ids=ids).logits[0, -len(response) - 1 : -1]
            return float(torch.nn.functional.cross_entropy(logits, response))

        begin = model.tokenizer.bos_token_id
        begin = model.tokenizer.eos_token_id if begin is None else begin
        assert value == pytest.approx(loss([begin]) - loss(tokens[:prompt]), abs=1e-5)


@pytest.mark.parametrize(
    "then", [{"name": "full"}, {"name": "random", "count": 4}, {"name": "fedhds", "smallest_group": 3}]
)
def test_another_coreset_sees_the_best_only(
    then: dict[str, Any], view: Views, job: Jobs, model: AdaptedModel
) -> None:
    rule = Relevant(share=0.5, then=then)
    client = view()
    summary = rule.summarise(client, job(), model)
    model.write(job().adapter)
    alignment = response_alignment(model, load(client.examples, client.rows))
    best = set(client.rows[np.argsort(-alignment, kind="stable")[:20]])
    cohort = Cohort(0, 0, [3], ["client 3"], [40])
    choices, _ = rule.choose(cohort, {3: summary.message}, {})
    rows = rule.examples(client, job(choice=choices[3], kept=summary.kept), model)
    assert len(rows) > 0
    assert set(rows) <= best
    assert (
        rule.figures(summary.message, choices[3]).keys()
        == rule.then.figures(summary.message, choices[3]).keys()
    )


def test_scores_are_kept_and_what_comes_then_is_made_anew(
    view: Views, job: Jobs, model: AdaptedModel
) -> None:
    rule = Relevant(then=FedHDS(smallest_group=3))
    first = rule.summarise(view(), job(), model)
    later = rule.summarise(view(), job(round=2, kept=first.kept), model)
    assert torch.equal(first.kept["admitted"], later.kept["admitted"])
    assert later.kept["then"]["round"] == 2


def test_without_prompts_there_is_nothing_to_compare(model: AdaptedModel) -> None:
    with pytest.raises(ShepherdError, match="loss_on=response"):
        response_alignment(model, [(np.arange(5), 1), (np.arange(9), 1)])


def test_it_can_precede_random(view: Views, job: Jobs, model: AdaptedModel) -> None:
    assert Relevant(then=Random(count=2)).then.count == 2
