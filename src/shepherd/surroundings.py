"""What a run rests on beside its config, wherever its clients are: environment.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from shepherd.config import RunConfig
from shepherd.machine import describe_machine, git_commit, versions
from shepherd.model.adapted import AdaptedModel
from shepherd.model.role import Role


def surroundings(config: RunConfig, model: AdaptedModel, data: Mapping[str, Any]) -> dict[str, Any]:
    """Say what every run rests on: versions, machine, data, base model.

    Parameters
    ----------
    config : RunConfig
        Names the base.
    model : AdaptedModel
        The base with the adapter in it.
    data : mapping
        What the run has to say of its data: fingerprints and counts of rows.

    Returns
    -------
    dict
        ``versions``, ``machine``, ``git_commit``, ``data``, ``base_model``, ``parameters``, how many are frozen
        and how many are trained, and ``adapter``, whether it leaves the base as it is until it is trained, whether
        clients come to one of their own, and how many of its parameters never leave their client. What only some
        runs rest on is added to it.
    """
    frozen, trainable = parameters(config, model)
    return {
        "versions": versions(),
        "machine": describe_machine(model.device),
        "git_commit": git_commit(),
        "data": dict(data),
        "base_model": {
            "name": config.model.base,
            "fingerprint": model.base.fingerprint,
            "dtype": str(model.base.model.dtype).removeprefix("torch."),
        },
        "parameters": {"frozen": frozen, "trainable": trainable},
        "adapter": {
            "starts_at_base": config.adapter.starts_at_base,
            "gives_own": config.gives_own,
            "own_parameters": own_parameters(config, model),
        },
    }


def own_parameters(config: RunConfig, model: AdaptedModel) -> int:
    """Return how many of the adapter's parameters the aggregation leaves to each client, in any round of the run."""
    return _parameters_of(config, model, lambda roles: Role.OWN in roles)


def parameters(config: RunConfig, model: AdaptedModel) -> tuple[int, int]:
    """Return how many parameters stay as they are and how many clients train in any round of the run.

    What the aggregation leaves to nobody, as ``ffa`` does LoRA's A, is not trained, though the adapter holds it.
    """
    frozen, trainable = model.counts()
    resting = _parameters_of(config, model, lambda roles: not any(role.is_trained for role in roles))
    return frozen + resting, trainable - resting


def _parameters_of(config: RunConfig, model: AdaptedModel, wanted: Callable[[set[Role]], bool]) -> int:
    """Return the size of the tensors whose roles, over the run's rounds, are those that are wanted."""
    layout, rounds = model.layout, range(max(1, config.rounds))
    return sum(
        size
        for name, size in zip(layout.names, layout.sizes, strict=True)
        if wanted({config.aggregation.role(name, round) for round in rounds})
    )
