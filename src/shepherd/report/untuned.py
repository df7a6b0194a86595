"""Which model of a study is the untuned base, told by the models' cards and not by what somebody called it."""

from __future__ import annotations

from collections.abc import Sequence

from shepherd.study.answers import ModelCard


def untuned_base(cards: Sequence[ModelCard]) -> ModelCard | None:
    """Return the untuned base that most of the models were tuned from.

    A run of no rounds is one, as is a plain model that others were tuned from; of both the run, which is asked by the
    same prompt as the tuned ones.

    Parameters
    ----------
    cards : sequence of ModelCard
        Everybody who answered.

    Returns
    -------
    ModelCard or None
        None where no base of a tuned model has answered.
    """
    untuned = [card for card in cards if _is_untuned(card)]

    def tuned(base: ModelCard) -> int:
        """Return how many models were tuned from a base."""
        same_base = [card for card in cards if card.base_fingerprint == base.base_fingerprint]
        return sum(card not in untuned for card in same_base)

    return max(filter(tuned, untuned), key=lambda card: (tuned(card), card.kind == "run"), default=None)


def _is_untuned(card: ModelCard) -> bool:
    if card.base_fingerprint is None:
        return False
    is_base_itself = card.kind == "model" and card.fingerprint == card.base_fingerprint
    return is_base_itself or (card.kind == "run" and card.about.get("rounds") == 0)
