"""What a site's owner allows, held against what a coordinator asks for: one function for each limit.

What is refused is named with its value, the limit, and what can be done. What can only be judged when the base model
and the site's data are read is in `measured_limits`.
"""

from __future__ import annotations

from collections.abc import Callable

from shepherd.config import RunConfig
from shepherd.coreset import Full, Relevant
from shepherd.coreset.base import Coreset
from shepherd.coreset.grouped import GroupedCoreset
from shepherd.coreset.matched import MatchedCoreset
from shepherd.coreset.size import SizedCoreset
from shepherd.coreset.turbo import FedHDSTurbo
from shepherd.data.prompts import NAMES as PROMPT_NAMES
from shepherd.deploy.foreign_code import strategies
from shepherd.deploy.measured_limits import (
    refuse_above,
    refuse_unnamed,
    shown,
)
from shepherd.deploy.refusal import Refused
from shepherd.deploy.settings import Limits
from shepherd.model.kinds import LowRank, VirtualKind
from shepherd.transforms import Clip, Compression, Transform

#: What bounds an update, and what adds noise to one. There is no transform of the second kind yet.
_CLIPPING: tuple[type[Transform], ...] = (Clip,)
_NOISING: tuple[type[Transform], ...] = ()


def check_allowed(config: RunConfig, limits: Limits, sites: int) -> None:
    """Refuse a config that asks for more than a site's owner allows.

    Parameters
    ----------
    config : RunConfig
        What the coordinator asks for.
    limits : Limits
        What the owner allows.
    sites : int
        How many sites take part in the run.

    Raises
    ------
    Refused
        Naming the first setting that is not allowed, its value and the limit.
    """
    for check in _CHECKS:
        check(config, limits, sites)


def proxies(config: RunConfig) -> list[str]:
    """Return the names of the models that coresets load beside the base, each once."""
    found = [one.proxy for _, one in strategies(config) if isinstance(one, FedHDSTurbo)]
    return list(dict.fromkeys(found))


def _no_foreign_code(config: RunConfig, limits: Limits, sites: int) -> None:
    if config.model.trust_remote_code:
        raise Refused(
            "model.trust_remote_code is true, and a site runs no code that comes with a model; set it to false."
        )
    for place, strategy in strategies(config):
        if type(strategy).__module__.partition(".")[0] != "shepherd":
            raise Refused(
                f"{place}.name is '{strategy.name[:60]}', and a site runs no code but the installed shepherd's; "
                "choose a built-in one."
            )


def _no_files_of_the_site(config: RunConfig, limits: Limits, sites: int) -> None:
    """Refuse settings that are paths, or regular expressions, of the coordinator's: a site does not follow them."""
    prompt = config.data.prompt
    if isinstance(prompt, str) and prompt not in PROMPT_NAMES:
        raise Refused(
            "data.prompt names a file, and a site opens no file for a coordinator; send the templates themselves, or "
            f"choose one of {', '.join(PROMPT_NAMES)}."
        )
    for place, strategy in strategies(config):
        if isinstance(strategy, MatchedCoreset) and strategy.matched is not None:
            raise Refused(
                f"{place}.matched names a folder, and a site opens none for a coordinator; use ratio or count."
            )
        if isinstance(strategy, GroupedCoreset) and strategy.public != "meadow":
            raise Refused(
                f"{place}.public names a data set, and a site opens none for a coordinator; use meadow, which comes "
                "with shepherd."
            )
        targets = getattr(strategy, "targets", None)
        if isinstance(targets, str) and targets != "all-linear":
            raise Refused(
                f"{place}.targets is one text, which would be read as a regular expression; use all-linear, or a "
                "list of names."
            )


def _bases(config: RunConfig, limits: Limits, sites: int) -> None:
    refuse_unnamed("model.base", config.model.base, limits)
    for name in proxies(config):
        refuse_unnamed("coreset.proxy", name, limits)


def _adapter(config: RunConfig, limits: Limits, sites: int) -> None:
    """Refuse a kind that is not allowed, and more of one than is; how many bytes it has, `check_adapter` sees."""
    kind = config.adapter
    if kind.name not in limits.adapter_kinds:
        raise Refused(
            f"adapter.name is '{kind.name}', and this site allows only {', '.join(limits.adapter_kinds)}; use that, or "
            "ask the site's owner to add it to limits.adapter_kinds in site.yaml."
        )
    if isinstance(kind, LowRank):
        refuse_above("adapter.rank", kind.rank, "largest_rank", limits)
    if isinstance(kind, VirtualKind):
        longest = kind.tokens + config.data.max_tokens
        refuse_above("The sum of adapter.tokens and data.max_tokens", longest, "most_tokens", limits)


def _epochs(config: RunConfig, limits: Limits, sites: int) -> None:
    # What steps come to depends on the site's data: see `check_work` and `check_round`.
    if config.training.steps is None:
        refuse_above("training.epochs", config.training.epochs, "most_local_epochs", limits)
    personal = config.personalisation.beside(config.training) if config.personalisation else None
    if personal is not None and personal.steps is None:
        refuse_above("personalisation.epochs", personal.epochs, "most_local_epochs", limits)


def _rounds(config: RunConfig, limits: Limits, sites: int) -> None:
    refuse_above("rounds", config.rounds, "most_rounds", limits)


def _tokens(config: RunConfig, limits: Limits, sites: int) -> None:
    refuse_above("data.max_tokens", config.data.max_tokens, "most_tokens", limits)


def _share(config: RunConfig, limits: Limits, sites: int) -> None:
    """Refuse what can be told before anything is chosen; `check_round` sees the rest."""
    training = config.training
    trained = min(1.0, training.epochs) if training.steps is None else 0.0
    refuse_above(
        f"The share of its examples that coreset.name={config.coreset.name} has a site train on in a round",
        trained * _least_share(config.coreset),
        "largest_share",
        limits,
    )


def _sites(config: RunConfig, limits: Limits, sites: int) -> None:
    if sites < limits.fewest_sites:
        raise Refused(
            f"The run has {shown(sites)} sites, and this site allows no fewer than {shown(limits.fewest_sites)}; "
            "have more sites join, or ask the site's owner to lower limits.fewest_sites in site.yaml."
        )


def _clipping(config: RunConfig, limits: Limits, sites: int) -> None:
    if (limits.clipping_required or limits.privacy_required) and not _has(config, _CLIPPING):
        which = "clipping_required" if limits.clipping_required else "privacy_required"
        raise Refused(
            f"transforms has none that clips updates, and limits.{which} is true at this site; add "
            "{name: clip, norm: …} to transforms, or ask the site's owner to change it in site.yaml."
        )


def _nothing_unclipped(config: RunConfig, limits: Limits, sites: int) -> None:
    """Refuse an aggregation that has clients say more than their update: no transform touches that."""
    if (limits.clipping_required or limits.privacy_required) and config.aggregation.says_tensors:
        which = "clipping_required" if limits.clipping_required else "privacy_required"
        raise Refused(
            f"aggregation.name={config.aggregation.name} has clients send tensors that are never clipped, and "
            f"limits.{which} is true at this site; choose another aggregation, e.g. fedavg or feddyn."
        )


def _bound_kept(config: RunConfig, limits: Limits, sites: int) -> None:
    """Refuse what may send more than was clipped: what was left out before, or levels above the values."""
    if not (limits.clipping_required or limits.privacy_required):
        return
    for transform in config.transforms:
        if isinstance(transform, Compression) and transform.lengthens:
            which = "clipping_required" if limits.clipping_required else "privacy_required"
            raise Refused(
                f"transforms sends updates by {transform.name}, which may make a clipped update longer, and "
                f"limits.{which} is true at this site; use half, or topk or low_rank with feedback=false and no "
                "quantised values, or ask the site's owner to change it in site.yaml."
            )


def _privacy(config: RunConfig, limits: Limits, sites: int) -> None:
    if not limits.privacy_required:
        return
    if not _NOISING:
        raise Refused(
            "limits.privacy_required is true at this site, and this release of shepherd has no transform that adds "
            "noise to updates, so no run can meet it; wait for a release that has, or ask the site's owner to set it "
            "to false in site.yaml."
        )
    if not _has(config, _NOISING):
        names = ", ".join(str(kind.model_fields["name"].default) for kind in _NOISING)
        raise Refused(
            "transforms has none that adds noise, and limits.privacy_required is true at this site; add one of "
            f"{names}, or ask the site's owner to change it in site.yaml."
        )
    for place, strategy in strategies(config):
        if isinstance(strategy, GroupedCoreset) and strategy.noise is None:
            raise Refused(
                f"{place}.noise is not set, so means of examples would leave the site as they are, and "
                f"limits.privacy_required is true there; set {place}.noise.sigma."
            )


_Check = Callable[[RunConfig, Limits, int], None]
#: In the order in which they are said: what can never be allowed comes first.
_CHECKS: tuple[_Check, ...] = (
    _no_foreign_code,
    _no_files_of_the_site,
    _bases,
    _adapter,
    _epochs,
    _rounds,
    _tokens,
    _share,
    _sites,
    _clipping,
    _nothing_unclipped,
    _bound_kept,
    _privacy,
)


def _has(config: RunConfig, kinds: tuple[type[Transform], ...]) -> bool:
    return any(isinstance(transform, kinds) for transform in config.transforms)


def _least_share(coreset: Coreset) -> float:
    """Return the share of its examples that a client is sure to be given, as far as the settings tell."""
    if isinstance(coreset, Full):
        return 1.0
    if isinstance(coreset, Relevant):
        return coreset.share * _least_share(coreset.then)
    # Of groups, the sizes are not shares of examples.
    if (
        isinstance(coreset, SizedCoreset)
        and not isinstance(coreset, GroupedCoreset)
        and coreset.count is None
    ):
        return coreset.ratio or coreset.usual
    return 0.0
