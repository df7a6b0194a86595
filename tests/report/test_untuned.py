"""The untuned base is known by its card, whatever it is called."""

from __future__ import annotations

from typing import Any

from shepherd.report.untuned import untuned_base
from shepherd.study.answers import ModelCard


def _card(label: str, kind: str = "run", base: str | None = "f1", **values: Any) -> ModelCard:
    return ModelCard(label, kind, label, "lamb", base, **values)


def _run(label: str, rounds: int, base: str = "f1") -> ModelCard:
    return _card(label, base=base, about={"rounds": rounds})


def test_a_run_of_no_rounds_or_the_plain_model_is_the_base() -> None:
    tuned, plain = _run("untuned", 5), _card("before", "model", fingerprint="f1")
    assert untuned_base([tuned, _run("zero", 0)]).label == "zero"  # type: ignore[union-attr]
    assert untuned_base([plain, tuned]) == plain
    assert untuned_base([plain, tuned, _run("zero", 0)]).label == "zero"  # type: ignore[union-attr]
    assert untuned_base([tuned, _card("adapter", "adapter", fingerprint="a1")]) is None


def test_of_several_bases_that_of_most_models_is_taken() -> None:
    bases = [_run("one", 0, "f1"), _run("other", 0, "f2"), _card("gpt", "endpoint", None)]
    tuned = [_run("a", 3, "f1"), _run("b", 3, "f2"), _run("c", 3, "f2")]
    assert untuned_base([*bases, *tuned]).label == "other"  # type: ignore[union-attr]
    assert untuned_base(bases) is None  # nobody was tuned from any
