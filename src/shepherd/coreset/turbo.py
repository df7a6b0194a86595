"""FedHDS-Turbo: a small frozen model looks at the examples in the tuned model's place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from shepherd.coreset.fedhds import FedHDS
from shepherd.coreset.schedule import Every
from shepherd.data.population import ClientView
from shepherd.messages import ClientJob
from shepherd.model.batch import load

if TYPE_CHECKING:
    from shepherd.model.adapted import AdaptedModel


class FedHDSTurbo(FedHDS):
    """FedHDS with the features of a proxy (arXiv 2410.10926, FedHDS-Turbo).

    The proxy never changes, so a client's groups do not either: they are made once, when the client first takes
    part, and kept by it.

    Attributes
    ----------
    proxy : str
        A causal language model or an encoder, with its own tokenizer: a hub name, a directory, or ``lamb``.
    """

    name: str = "fedhds-turbo"
    proxy: str = Field("lamb", min_length=1)
    every: Every = "once"

    def prepare(self, model: AdaptedModel) -> None:
        """Load the proxy."""
        from shepherd.model.proxy import load_proxy  # PEFT, which takes seconds, comes with it

        load_proxy(self.proxy, str(model.device))
        super().prepare(model)

    def features_of(self, view: ClientView, job: ClientJob, model: AdaptedModel) -> np.ndarray:
        """Return the proxy's features of a client's examples, read as text."""
        tokens = [own for own, _ in load(view.examples, view.rows)]
        return self.features_of_texts(model.tokenizer.batch_decode(tokens, skip_special_tokens=True), model)

    def features_of_texts(self, texts: Sequence[str], model: AdaptedModel) -> np.ndarray:
        """Return the proxy's features of texts."""
        from shepherd.model.proxy import load_proxy

        return load_proxy(self.proxy, str(model.device)).features(texts, self.features)
