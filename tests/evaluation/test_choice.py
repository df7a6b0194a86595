from __future__ import annotations

import numpy as np
import torch

from shepherd.evaluation.choice import TokenChoice
from shepherd.evaluation.decoding import DecodingSettings

LOGITS = torch.tensor([[2.0, 1.0, 0.0, -1.0]])


def drawn(count: int = 4000, **settings: float) -> np.ndarray:
    """Draw the first token of many questions from the same logits; return the shares."""
    decoding = DecodingSettings.model_validate({"temperature": 1.0, **settings})
    choice = TokenChoice(decoding, [f"question {n}" for n in range(count)])
    history = torch.zeros(count, 1, dtype=torch.long)
    found = choice(history, LOGITS.expand(count, -1), range(count))
    return np.bincount(found.numpy(), minlength=4) / count


def softmax(temperature: float) -> np.ndarray:
    weights = np.exp(LOGITS[0].numpy() / temperature)
    return weights / weights.sum()


def test_tokens_are_drawn_from_the_softmax() -> None:
    for temperature in (0.5, 1.0, 2.0):
        np.testing.assert_allclose(drawn(temperature=temperature), softmax(temperature), atol=0.03)


def test_top_k_and_top_p_leave_the_likeliest() -> None:
    expected = softmax(1.0)[:2] / softmax(1.0)[:2].sum()
    np.testing.assert_allclose(drawn(top_k=2)[:2], expected, atol=0.03)
    assert drawn(top_k=2)[2:].sum() == 0
    assert drawn(top_p=0.5)[0] == 1  # the first alone has 0.64


def test_greedy_takes_the_likeliest_and_a_penalty_changes_it() -> None:
    history = torch.tensor([[0, 3]])
    assert TokenChoice(DecodingSettings(), ["a"])(history, LOGITS, [0]).tolist() == [0]
    penalised = DecodingSettings(repetition_penalty=3)
    assert TokenChoice(penalised, ["a"])(history, LOGITS, [0]).tolist() == [1]


def test_a_questions_noise_depends_on_its_name_and_the_seed_alone() -> None:
    def tokens(names: list[str], row: int, seed: int = 0) -> list[int]:
        choice = TokenChoice(DecodingSettings(temperature=1, seed=seed), names)
        flat, history = torch.zeros(1, 1000), torch.zeros(1, 1, dtype=torch.long)
        return [int(choice(history, flat, [row])) for _ in range(4)]

    assert tokens(["x"], 0) == tokens(["a", "b", "x"], 2)
    assert tokens(["x"], 0) != tokens(["y"], 0)
    assert tokens(["x"], 0) != tokens(["x"], 0, seed=1)
    assert len(set(tokens(["x"], 0))) > 1


def test_what_plays_no_part_is_no_part_of_the_settings() -> None:
    assert DecodingSettings(seed=5).effective() == DecodingSettings().effective()
    assert DecodingSettings(temperature=1, top_p=0.9, seed=5).effective() == {
        "max_new_tokens": 128,
        "temperature": 1.0,
        "top_p": 0.9,
        "repetition_penalty": 1.0,
        "seed": 5,
    }
