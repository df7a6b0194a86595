"""How answers are generated: the settings that a model's card records."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from shepherd.settings import Settings


class DecodingSettings(Settings):
    """Greedy unless a temperature is given; the base model's own generation settings never play a part.

    Attributes
    ----------
    max_new_tokens : int
        Longest answer, in tokens.
    temperature : float
        0 takes the most likely token, always. Above, logits are divided by it and a token is drawn.
    top_p : float, optional
        Draw from the fewest tokens that have this probability together, in (0, 1].
    top_k : int, optional
        Draw from this many of the most likely tokens.
    repetition_penalty : float
        Above 1, tokens that the prompt or the answer has already become less likely (CTRL, arXiv 1909.05858).
    seed : int
        What draws are keyed by, together with the question's id.
    """

    max_new_tokens: int = Field(128, gt=0)
    temperature: float = Field(0.0, ge=0, le=100)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, gt=0)
    repetition_penalty: float = Field(1.0, gt=0)
    seed: int = Field(0, ge=0)

    @property
    def greedy(self) -> bool:
        """Whether nothing is drawn."""
        return self.temperature == 0

    def effective(self) -> dict[str, Any]:
        """Return the settings that answers depend on: of greedy ones, neither what is drawn from nor the seed."""
        drawn = {"top_p", "top_k", "seed"} if self.greedy else set()
        return self.model_dump(exclude=drawn, exclude_none=True)
