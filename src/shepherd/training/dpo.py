"""Preference tuning: a client learns which of two answers was found better (DPO)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from shepherd.errors import ShepherdError
from shepherd.model.adapter import Adapter
from shepherd.model.pairs import ACCURACY, MARGIN
from shepherd.model.stack import AdapterStack, Carried
from shepherd.training.base import LocalOutcome, LocalTask
from shepherd.training.engine import Engine
from shepherd.training.preferences import PairLoss, PairSteps, Reference, add_pair_gradients
from shepherd.training.steps import ClientSteps, StepTaken

if TYPE_CHECKING:
    from shepherd.data.instructions import Instructions
    from shepherd.model.adapted import AdaptedModel


class Dpo(Engine):
    """Direct preference optimisation (arXiv 2305.18290, equation 7), one client at a time.

    An example is a pair of answers to a prompt, one chosen and one rejected. Its loss is
    ``-log sigmoid(beta (log pi(chosen) - log ref(chosen) - log pi(rejected) + log ref(rejected)))``, and a step's is
    the mean over the batch's pairs: ``train_loss`` is in nats a pair, log 2 where nothing was learnt. Tokens are those
    of both answers. Local corrections, segments, clipping and schedules are the engine's; a prefix is not shared.
    Where ``adapter.dropout`` is above 0, it drops out of the adapter in training, of each answer by itself, as in the
    engine; never of the reference.

    Attributes
    ----------
    beta : float
        How closely the adapter is held to the reference; small values let it go further.
    reference : str
        What it is held to: the base without adapter (``base``), or the model that the client's round begins with
        (``round``). Its log-probabilities are computed once a round, of the pairs that the round's steps take.
    label_smoothing : float
        The share of pairs taken to be the wrong way round (conservative DPO), below one half.
    per_token : bool
        Divide every answer's log-ratio by its number of tokens (length-normalised DPO, arXiv 2411.15124, section 5);
        ``beta`` is then larger, e.g. 5.
    """

    shares_steps: ClassVar[bool] = False
    loss_over: ClassVar[str] = "examples"
    sequences: ClassVar[int] = 2
    forward_passes: ClassVar[int] = 1  # the reference's
    figures: ClassVar[tuple[str, ...]] = (ACCURACY, MARGIN)

    name: str = "dpo"
    beta: float = Field(0.1, gt=0)
    reference: Literal["base", "round"] = "base"
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    per_token: bool = False

    def suits(self, config: Any) -> None:
        """Refuse what has no meaning for pairs."""
        super().suits(config)
        if config.data.loss_on != "response":
            raise ValueError(
                "training.name=dpo compares two answers to one prompt, so the prompt has no part in its loss; set "
                "data.loss_on=response"
            )
        if self.clients_at_once not in (None, 1):
            raise ValueError("training.name=dpo trains one client at a time; set training.clients_at_once=1")

    def check_data(self, instructions: Instructions) -> None:
        """Refuse instructions without rejected answers."""
        if not instructions.holds_pairs:
            raise ShepherdError(
                f"training.name=dpo learns from preferences, and {instructions.source} has no column 'rejected' with "
                'an answer in every row; give rows like {"prompt": "Greet.", "chosen": "Hello!", "rejected": "No."}, '
                "name the columns with data.columns={response: …, rejected: …}, or choose training.name=engine."
            )

    def together(self, model: AdaptedModel) -> int:
        """Return how many clients are trained at once: one."""
        return 1

    def chosen(self, model: AdaptedModel) -> dict[str, Any]:
        """Return what is made of the settings here."""
        return {**super().chosen(model), "shares_prefixes": False, "train_loss": "nats a pair"}

    def train_together(
        self, model: AdaptedModel, adapters: Sequence[Adapter], tasks: Sequence[LocalTask]
    ) -> Iterator[tuple[Adapter, LocalOutcome]]:
        """Train several clients one after another."""
        for adapter, task in zip(adapters, tasks, strict=True):
            yield from super().train_together(model, [adapter], [task])

    def _steps(self, model: AdaptedModel, task: LocalTask, stack: AdapterStack, row: int) -> ClientSteps:
        rows = np.concatenate(self.batches(task))  # a client may hold many more than a round's steps take
        with model.untuned() if self.reference == "base" else nullcontext():
            reference = Reference.of(model, task.examples, rows, self._budget(model))
        return PairSteps(self, task, stack, row, reference=reference)

    def _gradients(
        self,
        model: AdaptedModel,
        stack: AdapterStack,
        carried: Carried,
        clients: Sequence[ClientSteps],
        step: int,
    ) -> StepTaken:
        """Put the gradient of an optimiser step into the stack."""
        (client,) = clients
        assert isinstance(client, PairSteps)
        stack.gradients.zero_()
        batch = client.load(step)
        loss = PairLoss(self.beta, self.label_smoothing, self.per_token)
        summed, margins = add_pair_gradients(model, carried, batch, loss, self._budget(model))
        client.margins.append(margins)
        return StepTaken([batch], summed[None])
