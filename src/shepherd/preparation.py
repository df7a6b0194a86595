"""From a config to everything the round loop needs: data split and encoded, clients, model, hold-out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers

from shepherd.config import RunConfig
from shepherd.data.allocation import Allocated, ClientFiles
from shepherd.data.allocation.base import OnDemand
from shepherd.data.encoding import EncodedExamples, encode, encode_prompts
from shepherd.data.heterogeneity import Heterogeneity, heterogeneity
from shepherd.data.instructions import Instructions, read_instructions
from shepherd.data.own_test import set_aside
from shepherd.data.population import Population
from shepherd.data.prompts import load_prompt
from shepherd.errors import ShepherdError
from shepherd.evaluation.evaluate import Evaluator
from shepherd.model.adapted import AdaptedModel
from shepherd.model.base import load_base

log = logging.getLogger(__name__)
#: A hold-out of fewer examples is called small.
_FEW = 20


@dataclass(frozen=True)
class Dealt:
    """Instructions split from the hold-out and dealt to clients; no model needed yet.

    Attributes
    ----------
    train, test : Instructions
        What clients hold, and what is held out from all of them.
    allocated : Allocated
        Who trains on what.
    own_tests : sequence of ndarray of int64, [clients]
        The rows of `train` that each client holds and never trains on.
    """

    train: Instructions
    test: Instructions
    allocated: Allocated
    own_tests: Sequence[np.ndarray] = ()

    @property
    def own_test_rows(self) -> int:
        """How many rows of `train` nobody trains on; clients that are drawn on demand share rows, and none count."""
        implicit = self.allocated.drawn_sizes is not None
        return 0 if implicit else sum(map(len, self.own_tests))

    def heterogeneity(self) -> Heterogeneity:
        """Measure how differently the clients' categories are distributed; of a very large population, a sample."""
        return heterogeneity(self.allocated, self.train.categories())

    def category_counts(self) -> Sequence[Mapping[str, int]]:
        """Return how many examples of each category every client holds, counted when it is asked for; [clients]."""
        names, codes = np.unique(self.train.categories(), return_inverse=True)

        def counts(client: int) -> dict[str, int]:
            """Count the categories of one client's examples, those that it has."""
            found = np.bincount(codes[self.allocated.rows[client]], minlength=len(names))
            return {str(names[code]): int(found[code]) for code in np.flatnonzero(found)}

        return OnDemand(len(self.allocated.names), counts)


@dataclass(frozen=True)
class Prepared:
    """Everything a run needs, in memory or memory-mapped.

    Attributes
    ----------
    dealt : Dealt
        The instructions, as text.
    examples : EncodedExamples
        The training instructions, encoded, shared by all clients.
    population : Population
        Which client holds which of them.
    model : AdaptedModel
        The base with the untrained adapter.
    evaluator : Evaluator
        Knows the hold-out.
    """

    dealt: Dealt
    examples: EncodedExamples
    population: Population
    model: AdaptedModel
    evaluator: Evaluator


def deal(config: RunConfig) -> Dealt:
    """Read the instructions, hold some out, and deal the rest to clients."""
    if isinstance(config.allocation, ClientFiles):
        train, test = config.allocation.read()
        if test is None:
            train, test = config.data.holdout.split(train, config.seed)
    else:
        everything = read_instructions(config.data.path, config.data.columns, config.data.rows)
        train, test = config.data.holdout.split(everything, config.seed)
    allocated = config.allocation.allocate(train, config.seed)
    return Dealt(train, test, *set_aside(allocated, config.data.own_test, config.seed))


def prepare(config: RunConfig) -> Prepared:
    """Do everything that comes before the first round. Encoded data is kept under the run root."""
    dealt = deal(config)
    if len(dealt.test) == 0:
        raise ShepherdError(
            "Nothing is held out, so there would be nothing to evaluate on; set data.holdout, "
            "e.g. data.holdout.name=fraction data.holdout.fraction=0.05."
        )
    if len(dealt.test) < _FEW:
        log.warning(
            "Only %d examples are held out, so what is measured on them is rough; hold out more with data.holdout.",
            len(dealt.test),
        )
    config.training.check_data(dealt.train)
    names = dealt.allocated.names
    config.participation.check(len(names))
    if config.system is not None:
        config.system.check(names)
    model = load_model(config)
    config.capacity.check(names, model.layout)
    config.coreset.prepare(model)
    examples = encoded(config, dealt.train, model)
    _say_truncated(examples, "examples", config.data.max_tokens)
    if examples.rejected is not None:
        _say_truncated(examples.rejected, "rejected answers", config.data.max_tokens)
    evaluator = evaluator_of(config, dealt.test, model)
    return Prepared(dealt, examples, Population.from_allocated(dealt.allocated, examples), model, evaluator)


def load_model(config: RunConfig) -> AdaptedModel:
    """Load the base with the run's untrained adapter, in a process that has the run's threads and is quiet.

    Parameters
    ----------
    config : RunConfig
        Names the base, the adapter, the seed of its first values, and the threads.

    Raises
    ------
    ShepherdError
        If the base cannot be loaded, or the adapter does not fit it.
    """
    if config.run.threads is not None:
        torch.set_num_threads(config.run.threads)
    transformers.logging.set_verbosity_error()
    model = AdaptedModel(load_base(config.model), config.adapter, config.seed)
    if config.aggregation.changes_base:
        model.check_can_rest("The aggregation", "aggregation.name=flexlora")
    if config.personalisation is not None and config.personalisation.stacks:
        model.check_can_rest("The personalisation", "personalisation.name=fine_tune")
    return model


def encoded(
    config: RunConfig, instructions: Instructions, model: AdaptedModel, folder: Path | None = None
) -> EncodedExamples:
    """Encode instructions as the config says, in the run root's folder of encoded instructions unless told."""
    data = config.data
    prompt = load_prompt(data.prompt, model.tokenizer)
    place = folder or config.run.encoded
    return encode(instructions, model.tokenizer, prompt, data.max_tokens, data.loss_on, place)


def evaluator_of(config: RunConfig, test: Instructions, model: AdaptedModel) -> Evaluator:
    """Return what evaluates adapters on held-out instructions."""
    prompt = load_prompt(config.data.prompt, model.tokenizer)
    prompts = encode_prompts(test, model.tokenizer, prompt, config.data.max_tokens)
    return Evaluator(config.evaluation, test, encoded(config, test, model), prompts)


def _say_truncated(examples: EncodedExamples, what: str, max_tokens: int) -> None:
    if examples.truncated:
        log.warning(
            "%d of %d %s are longer than data.max_tokens=%d and were cut; the end-of-sequence token is kept.",
            examples.truncated,
            len(examples),
            what,
            max_tokens,
        )
