"""Who is talked to: opened models under their names, several adapters on one base, and that base untuned.

This file knows that of the models on one base one speaks at a time. How a model is found and loaded is
`study/respondents.py`'s matter, and how an answer is heard while it grows `speech.py`'s.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from shepherd.data.encoding import Encoder
from shepherd.evaluation.continuation import Speaking
from shepherd.model.adapted import AdaptedModel
from shepherd.model.base import Base, BaseModelConfig, load_base
from shepherd.model.kinds import AdapterKind, Lora
from shepherd.study.answers import ModelCard
from shepherd.study.bases import LoadedBase
from shepherd.study.respondents import PROMPT, LocalRespondent, open_respondent
from shepherd.study.sources import find_sources
from shepherd.units import counted


@dataclass(frozen=True)
class Sent:
    """A prompt as a model gets it.

    Attributes
    ----------
    text : str
        All of it, the template included; of one that was cut, what is left.
    tokens : list of int
        The same in tokens, with the beginning-of-sequence token where there is one.
    cut : bool
        Whether it was too long.
    """

    text: str
    tokens: list[int]
    cut: bool

    @property
    def note(self) -> str:
        """What there is to say about it, in words."""
        tokens = counted(len(self.tokens), "token")
        if self.cut:
            return f"The prompt was too long and was cut, as in training, to {tokens}."
        return f"Prompt: {tokens}."


@dataclass(frozen=True)
class Speaker:
    """A model that is talked to.

    Attributes
    ----------
    respondent : LocalRespondent
        The opened model.
    lock : Lock
        Held by whichever of the models on one base speaks.
    """

    respondent: LocalRespondent
    lock: threading.Lock

    @property
    def card(self) -> ModelCard:
        """Who it is."""
        return self.respondent.card

    @property
    def model(self) -> Speaking:
        """The loaded model, which others may share."""
        return self.respondent.model

    @property
    def about(self) -> str:
        """What it is, in a few words."""
        about = self.card.about
        trained = [f"{name} {about[name]}" for name in ("rounds", "seed") if name in about]
        return ", ".join(
            [f"{self.card.kind} {self.card.source}", *trained, f"prompt {self.card.prompt['name']}"]
        )

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """Hold the model, with this one's weights in it."""
        with self.lock, self.respondent.speaking():
            yield

    def send(self, instruction: str, context: str, max_new_tokens: int) -> Sent:
        """Return the prompt as this model gets it.

        Raises
        ------
        ShepherdError
            If the model cannot see so many tokens besides.
        """
        encoder = Encoder(self.model.tokenizer, self.respondent.prompt, self.respondent.max_tokens)
        ((tokens, cut),) = encoder.prompts({"instruction": [instruction], "context": [context]})
        self.respondent.check_room(len(tokens), max_new_tokens)
        whole = self.respondent.prompt.render(instruction, context)
        return Sent(self.model.tokenizer.decode(tokens) if cut else whole, tokens, cut)


class LoadedBases(LoadedBase):
    """A place for every base that is asked for, all at once; models that can share one do."""

    def __init__(self) -> None:
        super().__init__()
        self._models: list[tuple[BaseModelConfig, AdapterKind, AdaptedModel]] = []

    def adapted(self, config: BaseModelConfig, kind: AdapterKind | None = None) -> AdaptedModel:
        """Return this base with room for this kind of adapter; for any, if it does not matter."""
        for known, room, model in self._models:
            if known == config and kind in (None, room):
                return model
        room = kind or Lora()
        model = AdaptedModel(load_base(config), room, seed=0)
        self._models.append((config, room, model))
        return model

    def given_away(self, config: BaseModelConfig) -> Base:
        """Return this base bare, for somebody who changes it."""
        return load_base(config)


def open_speakers(sources: Sequence[str], base: bool = True, prompt: str = PROMPT) -> list[Speaker]:
    """Open models to talk to.

    Parameters
    ----------
    sources : sequence of str
        Run, baseline or adapter directories, or plain models.
    base : bool
        Put the untuned base of each before them, unless it is among them.
    prompt : str
        The prompt of adapters and plain models; runs have their own.

    Raises
    ------
    ShepherdError
        If one cannot be opened, or two would have the same name.
    """
    loaded = LoadedBases()
    # Plain models last: they take any base that is there by then.
    found = sorted(enumerate(find_sources(sources)), key=lambda numbered: numbered[1].kind == "model")
    opened = {number: open_respondent(source, prompt=prompt, loaded=loaded) for number, source in found}
    asked = [opened[number] for number in sorted(opened)]
    locks: dict[int, threading.Lock] = {}
    respondents = [*(_untuned(asked) if base else []), *asked]
    return [Speaker(each, locks.setdefault(id(each.model), threading.Lock())) for each in respondents]


def _untuned(respondents: Sequence[LocalRespondent]) -> list[LocalRespondent]:
    """Return each base as it was, asked with the prompt of the first model that was tuned from it."""
    plain = {each.card.base_fingerprint for each in respondents if each.card.kind == "model"}
    first = dict[str | None, LocalRespondent]()
    for each in respondents:
        if each.card.base_fingerprint not in plain:
            first.setdefault(each.card.base_fingerprint, each)
    names = {each.card.label for each in respondents}
    simple = len(first) == 1 and "base" not in names
    return [
        _without_adapter(each, "base" if simple else f"base of {each.card.label}") for each in first.values()
    ]


def _without_adapter(respondent: LocalRespondent, label: str) -> LocalRespondent:
    card, prompt = respondent.card, respondent.card.prompt
    untuned = ModelCard(
        label, "model", str(card.base), card.base, card.base_fingerprint, card.base_fingerprint, prompt
    )
    return replace(respondent, card=untuned, speaking=respondent.model.untuned)
