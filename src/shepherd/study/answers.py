"""What a model answered, and how it was asked."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Answer:
    """One model's answer to one question.

    Attributes
    ----------
    question : str
        The question's id.
    answer : str
        The text, without what surrounds it.
    tokens : int, optional
        Tokens generated, where they were counted.
    ended : bool, optional
        Whether the model ended the answer by itself; False where it was cut at the most allowed.
    loss : float, optional
        Nats per token of the question's first reference under this model; None of a question without a reference,
        and of a model behind an endpoint.
    loss_tokens : int, optional
        The reference's tokens.
    """

    question: str
    answer: str
    tokens: int | None = None
    ended: bool | None = None
    loss: float | None = None
    loss_tokens: int | None = None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Answer:
        """Return the answer that `to_dict` wrote."""
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class ModelCard:
    """Who answered, and under which settings: everything the answers depend on.

    Attributes
    ----------
    label : str
        The model's name in the study.
    kind : str
        ``run``, ``adapter``, ``model`` or ``endpoint``.
    source : str
        The directory, hub name, or name of the model at its endpoint.
    base : str, optional
        The base model's name.
    base_fingerprint : str, optional
        The base model's fingerprint; two models of different ones are compared with a word about it.
    fingerprint : str, optional
        SHA-256 of the adapter's or model's weights, so that answers of an older one are not taken for its own.
    prompt : dict
        All that the rendered prompt depends on.
    decoding : dict
        The decoding settings.
    about : dict
        Anything else worth keeping: seed, rounds, holdout fingerprint, run directory; ``temperature_accepted: false``
        where an endpoint's server refused to be told the temperature and used its own.
    """

    label: str
    kind: str
    source: str
    base: str | None = None
    base_fingerprint: str | None = None
    fingerprint: str | None = None
    prompt: dict[str, Any] = field(default_factory=dict)
    decoding: dict[str, Any] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelCard:
        """Return the card that `to_dict` wrote."""
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the card as plain values."""
        return asdict(self)
