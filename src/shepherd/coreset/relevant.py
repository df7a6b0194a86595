"""A quality filter before any other coreset: examples whose instruction says something about the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from pydantic import Field

from shepherd.coreset.base import Cohort, Coreset
from shepherd.coreset.fedhds import FedHDS
from shepherd.coreset.full import Full
from shepherd.coreset.kcenter import KCenter
from shepherd.coreset.kmeans import KMeans
from shepherd.coreset.perplexity import Perplexity
from shepherd.coreset.random import Random
from shepherd.coreset.turbo import FedHDSTurbo
from shepherd.data.population import ClientView
from shepherd.errors import ShepherdError
from shepherd.messages import ClientJob, ClientSummary
from shepherd.model.batch import Example, load
from shepherd.model.losses import example_losses
from shepherd.strategy import one_of
from shepherd.tree import Tree

if TYPE_CHECKING:
    from shepherd.model.adapted import AdaptedModel

_ThenChoice: Any = one_of(Coreset, Full, Random, Perplexity, FedHDS, FedHDSTurbo, KCenter, KMeans)


class Relevant(Coreset):
    """Of every client only the examples of the highest instruction-response alignment go on to another coreset.

    IRA(x, y) = L(y) - L(y | x), the mean loss of the response's tokens without and with the prompt, as in FedDQC
    (arXiv 2410.11540): where the prompt does not help to predict the response, the two hardly belong together.
    Selection by diversity alone takes such junk for rare topics. Scored once, when a client first takes part.

    Attributes
    ----------
    share : float
        Share of a client's examples that go on, in (0, 1], rounded, at least one.
    then : Coreset
        What chooses among them; ``full`` unless told.
    """

    asks: ClassVar[bool] = True

    name: str = "relevant"
    share: float = Field(0.5, gt=0, le=1)
    then: _ThenChoice = Full()

    def lasting(self, kept: Tree) -> Tree:
        """Keep the scores' outcome, and what the other coreset wants kept."""
        return {"admitted": kept["admitted"], "then": self.then.lasting(kept["then"])}

    def prepare(self, model: AdaptedModel) -> None:
        """Load what the other coreset needs."""
        self.then.prepare(model)

    def summarise(self, view: ClientView, job: ClientJob, model: AdaptedModel) -> ClientSummary:
        """Score the examples, where that was not done before, and ask the other coreset about the best."""
        kept = job.kept("coreset")
        admitted = kept["admitted"] if kept else torch.from_numpy(self._admitted(view, job, model))
        inner = self.then.summarise(*self._within(view, job, admitted), model)
        return replace(inner, kept={"admitted": admitted, "then": inner.kept})

    def check(self, name: str, size: int, message: Tree) -> None:
        """Refuse what the other coreset refuses."""
        self.then.check(name, size, message)

    def choose(
        self, cohort: Cohort, messages: Mapping[int, Tree], state: Tree
    ) -> tuple[dict[int, Any], Tree]:
        """Choose as the other coreset does."""
        chosen: tuple[dict[int, Any], Tree] = self.then.choose(cohort, messages, state)
        return chosen

    def examples(self, view: ClientView, job: ClientJob, model: AdaptedModel) -> np.ndarray:
        """Return what the other coreset makes of the best."""
        rows: np.ndarray = self.then.examples(
            *self._within(view, job, job.kept("coreset")["admitted"]), model
        )
        return rows

    def figures(self, message: Tree, choice: Any | None) -> dict[str, Any]:
        """Say what the other coreset says."""
        figures: dict[str, Any] = self.then.figures(message, choice)
        return figures

    def _admitted(self, view: ClientView, job: ClientJob, model: AdaptedModel) -> np.ndarray:
        """Return the places of the best of a client's examples, ascending; of equals the first."""
        model.write(job.adapter)
        alignment = response_alignment(model, load(view.examples, view.rows))
        best = np.argsort(-alignment, kind="stable")[: max(1, round(self.share * len(view)))]
        return np.sort(best)

    def _within(
        self, view: ClientView, job: ClientJob, admitted: torch.Tensor
    ) -> tuple[ClientView, ClientJob]:
        """Return the client as the other coreset is to see it."""
        state = {**job.state, "coreset": job.kept("coreset").get("then", {})}
        return replace(view, rows=view.rows[admitted.numpy()]), replace(job, state=state)


def response_alignment(model: AdaptedModel, examples: list[Example]) -> np.ndarray:
    """Return IRA of every example, in nats per token of the response, float64 [examples].

    Raises
    ------
    ShepherdError
        If the examples do not tell prompts from responses.
    """
    if all(unlabelled <= 1 for _, unlabelled in examples):
        raise ShepherdError(
            "coreset.name=relevant compares responses with and without their prompts, which data.loss_on=all does "
            "not tell apart; set data.loss_on=response."
        )
    begin = model.tokenizer.bos_token_id
    begin = model.tokenizer.eos_token_id if begin is None else begin
    alone = [(np.concatenate([[begin], tokens[unlabelled:]]), 1) for tokens, unlabelled in examples]
    without, behind = (example_losses(model, part).means for part in (alone, examples))
    return without - behind
