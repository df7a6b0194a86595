"""Examples by how well the tuned model already predicts them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch

from shepherd.coreset.matched import MatchedCoreset
from shepherd.data.population import ClientView
from shepherd.messages import ClientJob, ClientSummary
from shepherd.model.batch import load
from shepherd.model.losses import example_losses

if TYPE_CHECKING:
    from shepherd.model.adapted import AdaptedModel


class Perplexity(MatchedCoreset):
    """Every client keeps the examples whose response has the lowest, the highest or a middling perplexity.

    The perplexity is that of the response under the round's global adapter. That the middle is best for
    pretraining is a finding of Marion et al. (arXiv 2309.04564); FedHDS (arXiv 2410.10926) compares itself with
    selection by perplexity, and which end it keeps is not known here.

    Attributes
    ----------
    keep : str
        ``lowest``, ``highest``, or ``middle``: those nearest to the client's median.
    """

    asks: ClassVar[bool] = True

    name: str = "perplexity"
    keep: Literal["lowest", "highest", "middle"] = "middle"

    def summarise(self, view: ClientView, job: ClientJob, model: AdaptedModel) -> ClientSummary:
        """Put the client's examples in order, the first to be kept first; the server need not know."""
        model.write(job.adapter)
        losses = example_losses(model, load(view.examples, view.rows)).means
        rank = {
            "lowest": losses,
            "highest": -losses,
            "middle": np.abs(losses - np.median(losses)),
        }[self.keep]
        return ClientSummary(job.client, {}, {"order": torch.from_numpy(np.argsort(rank, kind="stable"))})

    def examples(self, view: ClientView, job: ClientJob, model: AdaptedModel) -> np.ndarray:
        """Return the rows that are kept, in ascending order; of equals the first."""
        chosen = job.kept("coreset")["order"].numpy()[: self.wanted(view, job)]
        return view.rows[np.sort(chosen)]
