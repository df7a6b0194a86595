"""A site: what runs beside the data. It answers one message at a time, and remembers nothing but files of its own.

Every question says all that the answer depends on, so a site that was killed, or is asked twice, answers the same.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from shepherd.capacity import Configuration, Extent
from shepherd.client import ClientSide, measure_client, run_clients, summarise_client
from shepherd.config import RunConfig
from shepherd.data.encoding import EncodedExamples
from shepherd.data.instructions import Instructions, read_instructions
from shepherd.data.population import ClientView
from shepherd.deploy.drawn import are_alike, drawn_values
from shepherd.deploy.kept_states import ENCODED, KeptStates, keep_newest
from shepherd.deploy.limits import check_allowed, proxies
from shepherd.deploy.measured_limits import check_adapter, check_base, check_round, check_work
from shepherd.deploy.messages import Evaluation, Introduction, Measured, Summary, Told, Trained
from shepherd.deploy.refusal import Refused
from shepherd.deploy.settings import SiteSettings
from shepherd.deploy.shared import digest, layout_digest, read_shared
from shepherd.deploy.team import Team
from shepherd.deploy.wire import Envelope, counts_fit, declared
from shepherd.errors import ShepherdError
from shepherd.machine import versions
from shepherd.messages import ClientJob
from shepherd.model.adapted import AdaptedModel
from shepherd.model.adapter import Adapter
from shepherd.model.base import load_base
from shepherd.model.batch import load
from shepherd.model.losses import example_losses
from shepherd.model.proxy import load_proxy
from shepherd.preparation import encoded
from shepherd.scope import Scope
from shepherd.tree import to_bytes

log = logging.getLogger(__name__)
_FEWEST_POLLED = 16  # examples of which a site says the mean loss, if it has so many


@dataclass(frozen=True)
class Ready:
    """Everything one config needs at this site: made once, and kept while the coordinator asks for the same.

    Attributes
    ----------
    config : RunConfig
        What the coordinator asks for, within the site's limits.
    model : AdaptedModel
        The base with the adapter in it.
    examples, held_out : EncodedExamples
        The site's own instructions, to train on and to evaluate on.
    categories : mapping of str to int
        How many examples to train on there are of each category.
    """

    config: RunConfig
    model: AdaptedModel
    examples: EncodedExamples
    held_out: EncodedExamples
    categories: Mapping[str, int]

    @cached_property
    def drawn(self) -> list[float]:
        """A few of the values that this site drew itself and is never sent."""
        return drawn_values(self.model, self.config.aggregation)

    def view(self, name: str, number: int) -> ClientView:
        """Return the site's data as the client it is in the run."""
        return ClientView(name, number, self.examples, np.arange(len(self.examples)))


class Site:
    """Answers the coordinator's questions.

    Parameters
    ----------
    settings : SiteSettings
        Who this site is, and what its owner allows.
    data : str
        A file of instructions, as `shepherd.data.instructions.read_instructions` takes it.
    folder : Path
        Where the site keeps what it encodes and what it remembers; nothing in it ever leaves.

    Attributes
    ----------
    team : Team
        The processes that train together; this one alone, unless told.
    """

    def __init__(self, settings: SiteSettings, data: str, folder: Path) -> None:
        self.settings = settings
        self.data = data
        self.folder = folder
        self.team = Team()
        self._ready: tuple[str, Ready] | None = None
        self._last: tuple[object, Envelope] | None = None  # a question, and what was answered
        self._answers = {
            "hello": self._introduce,
            "summarise": self._summarise,
            "measure": self._measure,
            "train": self._train,
            "evaluate": self._evaluate,
        }

    @cached_property
    def instructions(self) -> Instructions:
        """The site's instructions, read once."""
        return read_instructions(self.data, dict(self.settings.columns or {}) or None)

    def answer(self, asked: Envelope) -> Envelope:
        """Answer one question; whatever goes wrong becomes a sentence that holds nobody's text.

        A question that is asked again, since its answer was lost on the way, gets the same answer at once.
        """
        key = (asked.header(), asked.buffers())
        if self._last is None or self._last[0] != key:
            self._last = None
            answer = self._answer(asked)
            if answer.error:
                return answer
            self._last = (key, answer)
        return self._last[1]

    def _answer(self, asked: Envelope) -> Envelope:
        try:
            told = declared(Told, asked.body)
            ready = self._made_ready(told)
            _refuse_changed(told, ready)
            _refuse_beyond(asked, ready.config)
            return self._answers[asked.kind](asked, told, ready)
        except Refused as error:
            log.warning("Refused: %s", error)
            return asked.refusal(str(error))
        except ShepherdError as error:
            log.error("%s", error)
            return asked.refusal("the site has a problem of its own, which its owner finds in the site's log")
        except Exception as error:  # its text may quote data, so only its kind is told
            log.exception("The message could not be answered.")
            return asked.refusal(
                f"the site failed with {type(error).__name__}; its owner finds more in the site's log"
            )

    def _made_ready(self, told: Told) -> Ready:
        key = digest(told.config)
        kept = self._ready[1] if self._ready is not None and self._ready[0] == key else None
        config = read_shared(told.config) if kept is None else kept.config
        check_allowed(config, self.settings.limits, told.sites)
        if kept is None:
            self._ready = None  # the old base makes room first
            kept = self._prepare(config)
            self.team.prepare(told.config, kept)
            self._ready = (key, kept)
        return kept

    def _prepare(self, config: RunConfig) -> Ready:
        """Load and encode what an allowed config needs, and hold it against the limits that need it."""
        limits = self.settings.limits
        if self.settings.threads is not None:
            torch.set_num_threads(self.team.threads(self.settings.threads))
        base = load_base(config.model)
        check_base(config.model.base, base.fingerprint, base.model.num_parameters(), limits)
        model = AdaptedModel(base, config.adapter, config.seed)
        check_adapter(model.initial.wire_bytes, limits)
        for name in proxies(config):
            proxy = load_proxy(name, str(model.device))
            check_base(name, proxy.fingerprint, proxy.backbone.num_parameters(), limits)
        config.coreset.prepare(model)
        train, held_out = config.data.holdout.split(self.instructions, config.seed)
        _refuse_useless(config, train)
        check_work(config, limits, len(train))
        examples, kept_back = (
            encoded(config, part, model, self.folder / "encoded") for part in (train, held_out)
        )
        keep_newest(self.folder / "encoded", ENCODED)
        return Ready(config, model, examples, kept_back, Counter(train.categories().tolist()))

    def _introduce(self, asked: Envelope, told: Told, ready: Ready) -> Envelope:
        said = Introduction(
            examples=len(ready.examples),
            truncated=ready.examples.truncated,
            held_out=len(ready.held_out),
            categories=self._categories(ready) if told.asks_categories else {},
            data=ready.examples.fingerprint,
            base=ready.model.base.fingerprint,
            layout=layout_digest(ready.model.layout),
            drawn=ready.drawn,
            versions=versions(),
            threads=torch.get_num_threads(),
            device=str(ready.model.device),
        )
        return asked.answer(asdict(said))

    def _categories(self, ready: Ready) -> dict[str, int]:
        """Return how many examples of each category the site has, if its owner lets that be told."""
        if not self.settings.limits.categories_told:
            raise Refused(
                "the run asks how many examples of each category the site has, and limits.categories_told in its "
                "site.yaml is false; choose another participation, or ask the site's owner to set it to true"
            )
        if not counts_fit(said := dict(ready.categories)):
            raise Refused(
                "the run asks how many examples of each category the site has, and these are too many or have names "
                "that are too long or not printable; choose another participation, or give the data other categories"
            )
        return said

    def _summarise(self, asked: Envelope, told: Told, ready: Ready) -> Envelope:
        kept = self._kept(asked, told)
        summary = summarise_client(
            self._job(asked, told, ready, kept),
            ready.view(self.settings.site, told.client),
            ready.model,
            ClientSide.of(ready.config),
        )
        said = Summary(
            message=dict(summary.message),
            kept=kept.write("coreset", asked.round, summary.kept),
            lasting=kept.write("lasting", asked.round, summary.lasting),
            seconds=summary.seconds,
        )
        kept.forget(said.kept, told.coreset)
        return asked.answer(asdict(said))

    def _train(self, asked: Envelope, told: Told, ready: Ready) -> Envelope:
        kept, config = self._kept(asked, told), ready.config
        job = self._job(asked, told, ready, kept)
        _check_told(told, ready)
        view = ready.view(self.settings.site, told.client)
        side = replace(ClientSide.of(config), training=self.team.training(config))
        (update,) = run_clients([job], [view], ready.model, side)
        check_round(update.selected, update.examples, len(view), self.settings.limits)
        if not np.isfinite(update.update.norm()):
            raise Refused("this site's training diverged: its update is not finite; lower training.lr")
        said = Trained(
            selected=update.selected,
            examples=update.examples,
            tokens=update.tokens,
            response_tokens=update.response_tokens,
            steps=update.steps,
            train_loss=update.train_loss,
            train_loss_rms=update.train_loss_rms,
            update_norm=update.update_norm,
            seconds=update.seconds,
            kept=kept.write("training", asked.round, update.state),
            said=dict(update.said),
        )
        kept.forget(told.training, told.coreset)
        up = _scope(asked, job.configuration, ready).up
        sent = to_bytes(update.wire) if update.wire else up.cut(update.update).to_bytes()
        return asked.answer(asdict(said), sent)

    def _measure(self, asked: Envelope, told: Told, ready: Ready) -> Envelope:
        job = self._job(asked, told, ready, self._kept(asked, told))
        view = ready.view(self.settings.site, told.client)
        if 0 < told.poll_examples < min(_FEWEST_POLLED, len(view)):
            raise Refused(
                f"participation.poll_examples is {told.poll_examples}, and of fewer than {_FEWEST_POLLED} examples a "
                f"loss tells what is in them; set it to {_FEWEST_POLLED} at least"
            )
        job = replace(job, poll_examples=told.poll_examples or None)
        return asked.answer(
            asdict(Measured(measure_client(job, view, ready.model, ClientSide.of(ready.config))))
        )

    def _evaluate(self, asked: Envelope, told: Told, ready: Ready) -> Envelope:
        began = time.perf_counter()
        if len(ready.held_out) == 0:
            raise Refused("this site keeps nothing back to evaluate on")
        _rest_on(told, ready)
        ready.model.write(_adapter(asked, ready.model.initial))
        losses = example_losses(ready.model, load(ready.held_out, range(len(ready.held_out))), None)
        said = Evaluation(
            losses.mean, int(losses.labels.sum()), len(ready.held_out), time.perf_counter() - began
        )
        return asked.answer(asdict(said))

    def _job(self, asked: Envelope, told: Told, ready: Ready, kept: KeptStates) -> ClientJob:
        state = {"training": kept.read(told.training), "coreset": kept.read(told.coreset)}
        config, configuration = ready.config, _configuration(told, ready)
        down = _scope(asked, configuration, ready).down
        sent = _adapter(asked, down.cut(ready.model.initial))
        _rest_on(told, ready)
        return ClientJob(
            told.client,
            asked.round,
            config.rounds,
            config.seed,
            down.pad(sent, ready.model.initial),
            told.choice,
            state,
            told.told,
            told.residual,
            configuration=configuration,
        )

    def _kept(self, asked: Envelope, told: Told) -> KeptStates:
        # A run's id comes from outside; as a folder it is a fingerprint. What another config kept is of other shapes.
        name = digest({"run": asked.run, "config": told.config})[:16]
        return KeptStates(self.folder / "kept" / name)


def _refuse_useless(config: RunConfig, train: Instructions) -> None:
    """Refuse a training that the site's data does not serve; what it lacks is told to the owner alone."""
    try:
        config.training.check_data(train)
    except ShepherdError as error:
        log.error("%s", error)
        raise Refused(
            f"this site's data lacks what training.name={config.training.name} learns from; its owner finds more in "
            "the site's log"
        ) from error


def _refuse_beyond(asked: Envelope, config: RunConfig) -> None:
    """Refuse a round that the run does not have: its rounds are what the site's owner allows so many of."""
    if asked.round > config.rounds:
        raise Refused(f"The message is of round {asked.round:,}, and the run has {config.rounds:,}.")


def _refuse_changed(told: Told, ready: Ready) -> None:
    """Refuse to go on with other data or another base than those with which the site joined."""
    now = {
        "data": ready.examples.fingerprint,
        "base": ready.model.base.fingerprint,
        "layout": layout_digest(ready.model.layout),
    }
    for part, fingerprint in now.items():
        if getattr(told, part) not in ("", fingerprint):
            raise Refused(
                f"this site's {part} is not what it was when it joined; give it the same again, or begin the run anew"
            )
    if told.drawn and not are_alike(told.drawn, ready.drawn):
        raise Refused(
            "this site draws other random values from the run's seed than when it joined; install the versions of "
            "torch and peft that it had then, or begin the run anew"
        )


def _configuration(told: Told, ready: Ready) -> Configuration:
    """Read what of the adapter the site is to hold; nothing about it is trusted."""
    where = "The coordinator's configuration of this site"
    try:
        found = Configuration.from_tree(told.configuration, where)
    except ShepherdError as error:
        raise Refused(str(error)) from None
    wrong = found.misfit(Extent.of_layout(ready.model.layout))
    if wrong is not None:
        raise Refused(f"{where} {wrong}{'' if wrong.endswith('?') else '.'}")
    return found


def _scope(asked: Envelope, configuration: Configuration, ready: Ready) -> Scope:
    return ClientSide.of(ready.config).scope(configuration, ready.model.layout, asked.round)


def _check_told(told: Told, ready: Ready) -> None:
    """Refuse what cannot be trained by before anything is begun: a site's processes begin, and end, together."""
    try:
        ready.config.training.check_told(told.told, ready.model.layout)
    except ShepherdError as error:
        raise Refused(str(error)) from None


def _rest_on(told: Told, ready: Ready) -> None:
    """Add to the base what the coordinator's rule adds to it, if the rule is one that does."""
    if told.residual and not ready.config.aggregation.changes_base:
        raise Refused(
            f"the coordinator adds to the base's weights, and aggregation.name={ready.config.aggregation.name} does not"
        )
    try:
        ready.model.rest_on(told.residual)
    except ShepherdError as error:
        raise Refused(str(error)) from None


def _adapter(asked: Envelope, like: Adapter) -> Adapter:
    """Read the adapter that came with a message, as any adapter from outside is read."""
    try:
        return Adapter.from_bytes(asked.adapter, like, "The coordinator's adapter")
    except ShepherdError as error:
        raise Refused(str(error)) from None
