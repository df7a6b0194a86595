"""Models opened to be asked: a run, an adapter or a plain model, on this machine.

Each has a card that says who it is, renders a question as its own prompt, and answers. Several on one base share it
and are to be asked one after the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from shepherd.data.encoding import Encoder
from shepherd.data.prompts import Prompt, load_prompt
from shepherd.errors import ShepherdError
from shepherd.evaluation.continuation import Speaking
from shepherd.evaluation.decoding import DecodingSettings
from shepherd.evaluation.generation import generate
from shepherd.model.adapted import AdaptedModel
from shepherd.model.adapter import CONFIG_FILE, WEIGHTS_FILE
from shepherd.model.base import Base, BaseModelConfig
from shepherd.model.batch import Example
from shepherd.model.exported import read_exported
from shepherd.model.losses import ExampleLosses, example_losses
from shepherd.run_files import read_environment
from shepherd.runs import load_run
from shepherd.study.answers import Answer, ModelCard
from shepherd.study.bases import LoadedBase
from shepherd.study.foreign import (
    ForeignModel,
    base_of,
    foreign_losses,
    load_foreign,
    load_own,
    shepherd_kind,
)
from shepherd.study.questions import Question
from shepherd.study.sources import Source, find_source

#: The prompt of adapters and plain models, unless told, and the longest example it is cut to, as in a run's config.
PROMPT, MAX_TOKENS = "alpaca", 512


@dataclass(frozen=True)
class LocalRespondent:
    """A model on this machine.

    Attributes
    ----------
    card : ModelCard
        Who it is; how it is to decode is not said yet.
    model : Speaking
        The loaded model, which other respondents may share.
    prompt : Prompt
        The text around a question.
    max_tokens : int
        Longest prompt and answer it was tuned on, in tokens; a longer prompt is cut as in training.
    speaking : callable
        Gives a context in which this respondent's own weights are in the model.
    loss : callable
        Gives the losses of encoded examples under what is in the model.
    """

    card: ModelCard
    model: Speaking
    prompt: Prompt
    max_tokens: int
    speaking: Callable[[], AbstractContextManager[Any]]
    loss: Callable[[Sequence[Example]], ExampleLosses]

    def prompts(self, questions: Sequence[Question]) -> list[list[int]]:
        """Return the prompts' tokens, cut to fit."""
        return [tokens for tokens, _ in self._encoder.prompts(_columns(questions))]

    def answers(
        self, questions: Sequence[Question], decoding: DecodingSettings, batch_size: int | None = None
    ) -> Iterator[Answer]:
        """Yield every question's answer, batch by batch, with the loss of its first reference.

        Raises
        ------
        ShepherdError
            If prompt and answer are longer than the model can see.
        """
        prompts = self.prompts(questions)
        self.check_room(max(map(len, prompts), default=0), decoding.max_new_tokens)
        names = [question.id for question in questions]
        with self.speaking():
            losses = self._reference_losses(questions)
            for place, found in generate(self.model, prompts, names, decoding, batch_size):
                loss, tokens = losses.get(names[place], (None, None))
                yield Answer(names[place], found.text, found.tokens, found.ended, loss, tokens)

    def check_room(self, longest: int, max_new_tokens: int) -> None:
        """Refuse prompts that leave no room for an answer.

        Raises
        ------
        ShepherdError
            If a prompt of `longest` tokens and the answer are more than the model can see.
        """
        positions = getattr(self.model.peft.get_base_model().config, "max_position_embeddings", None)
        if isinstance(positions, int) and longest + max_new_tokens > positions:
            raise ShepherdError(
                f"{self.card.label} sees {positions} tokens; the longest prompt has {longest}, which leaves no room "
                f"for {max_new_tokens} new ones: give --max-new-tokens {max(positions - longest, 1)} at most."
            )

    def _reference_losses(self, questions: Sequence[Question]) -> dict[str, tuple[float, int]]:
        """Return (nats per token, tokens) of the first reference of the questions that have some."""
        asked = [question for question in questions if question.references]
        if not asked:
            return {}
        encoded = self._encoder.examples(_columns(asked))
        losses = self.loss([(np.array(tokens), unlabelled) for tokens, unlabelled, _ in encoded])
        found = zip(losses.means.tolist(), losses.labels.tolist(), strict=True)
        return {q.id: (mean, int(labels)) for q, (mean, labels) in zip(asked, found, strict=True)}

    @property
    def _encoder(self) -> Encoder:
        return Encoder(self.model.tokenizer, self.prompt, self.max_tokens)


def open_respondent(
    source: str | Source,
    prompt: str = PROMPT,
    loaded: LoadedBase | None = None,
) -> LocalRespondent:
    """Load a model to be asked.

    Parameters
    ----------
    source : str or Source
        A run or baseline directory, a PEFT adapter's directory, or a plain model; not an endpoint.
    prompt : str
        The prompt of an adapter or plain model; a run is asked as its config says.
    loaded : LoadedBase, optional
        Where the last respondent's base is: it is used again if it is the same, and is gone if not.

    Raises
    ------
    ShepherdError
        If it cannot be loaded.
    """
    import transformers

    transformers.logging.set_verbosity_error()
    found = find_source(source) if isinstance(source, str) else source
    label, loaded = found.label, loaded or LoadedBase()
    if found.kind == "run":
        return _run(label, Path(found.place), loaded)
    if found.kind == "adapter":
        return _adapter(label, Path(found.place), prompt, loaded)
    if found.kind == "model":
        return _plain_model(label, found.place, prompt, loaded)
    raise ShepherdError(f"{found.place} is behind an endpoint, not on this machine.")


def _run(label: str, folder: Path, loaded: LoadedBase) -> LocalRespondent:
    config, environment = load_run(folder).config, read_environment(folder)
    model = loaded.adapted(config.model, config.adapter)
    adapter, residual = read_exported(folder / "adapter", model.initial)
    prompt = load_prompt(config.data.prompt, model.tokenizer)
    about = {
        "seed": config.seed,
        "rounds": config.rounds,
        "holdout_fingerprint": environment.get("data", {}).get("holdout_fingerprint"),
    }
    card = _card(
        label,
        "run",
        str(folder),
        model.base,
        _digest(folder / "adapter"),
        prompt,
        config.data.max_tokens,
        about,
    )

    def speaking() -> AbstractContextManager[Any]:
        """Put the run's adapter into the model, and into the base what the run added to it."""
        model.rest_on(residual)
        model.write(adapter)
        return nullcontext()

    return LocalRespondent(
        card, model, prompt, config.data.max_tokens, speaking, partial(example_losses, model)
    )


def _plain_model(label: str, name: str, prompt_name: str, loaded: LoadedBase) -> LocalRespondent:
    model: AdaptedModel = loaded.adapted(BaseModelConfig(base=name))
    prompt = load_prompt(prompt_name, model.tokenizer)
    card = _card(label, "model", name, model.base, model.base.fingerprint, prompt, MAX_TOKENS)
    return LocalRespondent(card, model, prompt, MAX_TOKENS, model.untuned, partial(example_losses, model))


def _adapter(label: str, folder: Path, prompt_name: str, loaded: LoadedBase) -> LocalRespondent:
    own = shepherd_kind(folder)
    # What changes the base's own weights was trained in float32, or is rounded as it would be there.
    config = BaseModelConfig(base=base_of(folder), dtype="auto" if own is None else "float32")
    base = loaded.given_away(config)
    model: AdaptedModel | ForeignModel
    if own is None:
        model = foreign = load_foreign(folder, base)
        loss = partial(foreign_losses, foreign)
    else:
        model = adapted = load_own(folder, base, own)
        loss = partial(example_losses, adapted)
    prompt = load_prompt(prompt_name, model.tokenizer)
    card = _card(label, "adapter", str(folder), base, _digest(folder), prompt, MAX_TOKENS)
    return LocalRespondent(card, model, prompt, MAX_TOKENS, nullcontext, loss)


def _card(
    label: str,
    kind: str,
    source: str,
    base: Base,
    fingerprint: str,
    prompt: Prompt,
    max_tokens: int,
    about: dict[str, Any] | None = None,
) -> ModelCard:
    shown = {"name": prompt.name, **prompt.description(), "max_tokens": max_tokens}
    return ModelCard(label, kind, source, base.name, base.fingerprint, fingerprint, shown, {}, about or {})


def _digest(folder: Path) -> str:
    """Return the SHA-256 of an adapter's config and weights, in hex."""
    digest = hashlib.sha256()
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        with (folder / name).open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _columns(questions: Sequence[Question]) -> dict[str, list[Any]]:
    return {
        "instruction": [question.instruction for question in questions],
        "context": [question.context for question in questions],
        "responses": [question.references for question in questions],
    }
