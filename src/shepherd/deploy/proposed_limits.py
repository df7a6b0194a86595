"""The limits that a run just fits into: what the coordinator proposes, and a site's owner then reviews."""

from __future__ import annotations

import math

from shepherd.config import RunConfig
from shepherd.deploy.limits import proxies
from shepherd.deploy.settings import Limits
from shepherd.model.adapted import AdaptedModel
from shepherd.model.base import load_base
from shepherd.model.kinds import LowRank, VirtualKind


def proposed_limits(config: RunConfig) -> Limits:
    """Return limits that allow `config`, its base models by their fingerprints; the models are loaded for that.

    Kind of adapter, rank, epochs and tokens are the config's own; whatever else it needs is raised no further than it
    must be.

    Raises
    ------
    ShepherdError
        If a model cannot be loaded.
    """
    base = load_base(config.model)
    models = {config.model.base: base.fingerprint}
    sizes = [base.model.num_parameters()]
    for name in proxies(config):
        # A proxy of the base's own name is the same files, held without the head.
        if name not in models:
            from shepherd.model.proxy import load_proxy

            proxy = load_proxy(name, str(base.device))
            models[name] = proxy.fingerprint
            sizes.append(proxy.backbone.num_parameters())
    size = AdaptedModel(base, config.adapter, config.seed).initial.wire_bytes
    usual = Limits()
    rank = config.adapter.rank if isinstance(config.adapter, LowRank) else usual.largest_rank
    virtual = config.adapter.tokens if isinstance(config.adapter, VirtualKind) else 0
    return Limits(
        base_models=models,
        largest_model=max(usual.largest_model, *sizes),
        adapter_kinds=[config.adapter.name],
        largest_rank=rank,
        largest_adapter_mb=max(usual.largest_adapter_mb, math.ceil(size / 1e6)),
        most_local_epochs=_passes(config, usual),
        most_rounds=max(usual.most_rounds, config.rounds),
        most_tokens=config.data.max_tokens + virtual,
        categories_told=config.participation.asks_categories,
    )


def _passes(config: RunConfig, usual: Limits) -> float:
    """Return the most passes that a client makes in a round; of training by steps, it depends on the site's data."""
    training = config.training
    beside = config.personalisation.beside(training) if config.personalisation is not None else None
    trainings = [one for one in (training, beside) if one is not None]
    return max(usual.most_local_epochs if one.steps else one.epochs for one in trainings)
