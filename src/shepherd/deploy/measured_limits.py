"""What a site's owner allows, held against what is found when the base model is loaded and the site's data is read."""

from __future__ import annotations

import math

from shepherd.config import RunConfig
from shepherd.deploy.refusal import Refused
from shepherd.deploy.settings import Limits


def check_base(name: str, fingerprint: str, parameters: int, limits: Limits) -> None:
    """Refuse a base model, or a coreset's proxy, that is not the one the owner allows.

    Parameters
    ----------
    name : str
        As in the config.
    fingerprint : str
        Of the loaded model, as `shepherd.model.base.Base.fingerprint`; 64 hexadecimal digits.
    parameters : int
        How many it has.
    limits : Limits
        What the owner allows.

    Raises
    ------
    Refused
        If the name is not in ``limits.base_models``, or the model is another one or too large.
    """
    refuse_unnamed("model.base", name, limits)
    allowed = limits.base_models[name]
    if allowed not in ("any", fingerprint):
        raise Refused(
            f"The base model '{name}' has the fingerprint {fingerprint[:12]}… at this site, and limits.base_models "
            f"allows {allowed[:12]}…; give the site the same files and the run the same model.dtype, or ask the "
            "site's owner to change limits.base_models in site.yaml."
        )
    refuse_above(f"The number of parameters of '{name}'", parameters, "largest_model", limits)


def check_adapter(size: int, limits: Limits) -> None:
    """Refuse an adapter whose wire form has more bytes than the owner allows."""
    refuse_above("The adapter's size in MB", size / 1e6, "largest_adapter_mb", limits)


def check_work(config: RunConfig, limits: Limits, held: int) -> None:
    """Refuse more optimiser steps than the passes that the owner allows over all `held` examples of the site."""
    if config.training.steps is not None:
        _refuse_passes(config.training.count(held), held, limits)


def check_round(selected: int, trained: int, held: int, limits: Limits) -> None:
    """Refuse to answer with what one round learned of more, or oftener, than the owner allows.

    Parameters
    ----------
    selected : int
        How many different examples the coordinator's choice gave the site to train on.
    trained : int
        How many it trained on, with repetition.
    held : int
        How many it has.
    limits : Limits
        What the owner allows.

    Raises
    ------
    Refused
        If that is above ``limits.largest_share`` or ``limits.most_local_epochs``; one example is always allowed.
    """
    different = min(selected, trained)
    if different > max(1, math.ceil(limits.largest_share * held)):
        refuse_above(
            "The share of this site's examples that the round trains on",
            different / held,
            "largest_share",
            limits,
        )
    _refuse_passes(trained, selected, limits)


def refuse_unnamed(setting: str, name: str, limits: Limits) -> None:
    """Refuse a model that is not in ``limits.base_models``, whatever it is."""
    if name not in limits.base_models:
        # Which it allows is not said: their names may be paths of the site's.
        raise Refused(
            f"{setting} is '{name[:60]}', which this site does not allow; ask the site's owner to add it to "
            "limits.base_models in site.yaml."
        )


def _refuse_passes(trained: int, selected: int, limits: Limits) -> None:
    if trained > max(1, math.ceil(limits.most_local_epochs * selected)):
        passes = trained / max(selected, 1)
        refuse_above("The number of passes that training.steps comes to", passes, "most_local_epochs", limits)


def refuse_above(setting: str, value: float, limit: str, limits: Limits) -> None:
    """Refuse a value above the limit of that name."""
    most = getattr(limits, limit)
    if value > most:
        raise Refused(
            f"{setting} is {shown(value)}, and this site allows at most {shown(most)}; lower it, or ask the site's "
            f"owner to raise limits.{limit} in site.yaml."
        )


def shown(value: float) -> str:
    """Return a figure as a sentence has it."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
