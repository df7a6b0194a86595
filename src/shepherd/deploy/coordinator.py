"""A run over sites: what `shepherd.runs` does for clients in this process, for clients elsewhere.

The round loop, the strategies, the run directory and its checkpoints are the simulator's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shepherd.client import ClientSide
from shepherd.config import RunConfig
from shepherd.data.allocation import ClientFiles
from shepherd.data.client_files import read_hold_out
from shepherd.data.holdout import File
from shepherd.data.instructions import Instructions
from shepherd.deploy.backend import FlowerBackend, joined_with
from shepherd.deploy.drawn import drawn_values
from shepherd.deploy.exchange import Link, Lost, Patience, gather
from shepherd.deploy.fitting import check_fits
from shepherd.deploy.joining import Expected, Membership, join
from shepherd.deploy.messages import Evaluation, Told
from shepherd.deploy.plausible import Plausible
from shepherd.deploy.refusal import Refused
from shepherd.deploy.settings import FederationSettings
from shepherd.deploy.shared import digest, shared_config
from shepherd.deploy.wire import Envelope, declared
from shepherd.errors import ShepherdError
from shepherd.evaluation.evaluate import DueEvaluation
from shepherd.federation import Evaluate, Federation
from shepherd.metrics import Line, global_line
from shepherd.model.adapted import AdaptedModel
from shepherd.model.adapter import Adapter
from shepherd.observer import Observer, Observers
from shepherd.preparation import evaluator_of, load_model
from shepherd.run_directory import RunDirectory
from shepherd.runs import Run
from shepherd.state import RunState
from shepherd.surroundings import surroundings
from shepherd.trackers import start_trackers
from shepherd.tree import Tree

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Coordinator:
    """Runs a config over the sites of a federation.

    Attributes
    ----------
    config : RunConfig
        The run's; its data and allocation say nothing here, except where the coordinator's own hold-out is.
    settings : FederationSettings
        How long to wait, and for how many.
    link : Link
        Carries the messages.
    names : sequence of str
        The federation's sites.
    observers : sequence of Observer
        Told what happens.
    poll_s : float
        Seconds between two looks for answers.
    """

    config: RunConfig
    settings: FederationSettings
    link: Link
    names: Sequence[str]
    observers: Sequence[Observer] = ()
    poll_s: float = 0.1

    def run(self, resume: bool = False) -> Run:
        """Run to the end, or go on with a run that was stopped.

        Raises
        ------
        ShepherdError
            For anything that cannot be used, or when too few sites answer; what was committed before is kept.
        """
        refuse_simulated(self.config)
        directory = RunDirectory(self.config.run.directory)
        directory.open(self.config, resume)
        with directory.held():
            return self._run(directory)

    def _run(self, directory: RunDirectory) -> Run:
        config = self.config
        held_out, model = own_holdout(config), load_model(config)
        config.capacity.check(self.names, model.layout)
        directory.write_config(config)
        state = directory.restore(model.initial)
        told = shared_config(config, model.tokenizer, held_out is not None)
        begun = Membership.read(directory.path) if state is not None else None
        self._refuse_weights_by_what_sites_say()
        # Before anybody is waited for, and again of those that came.
        self._refuse_small_cohorts(begun.sizes if begun else [1] * len(self.names))
        if state is None or state.round < config.rounds:
            self._refuse_what_is_too_large(model, state, told)
        members = join(
            self.link,
            self.names,
            told,
            Expected(model, drawn_values(model, config.aggregation), config.participation.asks_categories),
            self._patience(self.settings.join_timeout_s),
            begun,
            self.settings.minimum_sites,
        )
        self._refuse_small_cohorts(members.sizes)
        members.write(directory.path)
        with start_trackers(config) as trackers:
            federation = Federation(
                config=config,
                backend=self._backend(members, told),
                names=members.names,
                sizes=members.sizes,
                categories=members.categories if config.participation.asks_categories else None,
                evaluate=self._evaluate(directory, members, model, held_out, told),
                commit=lambda state, lines: directory.commit(state, lines, config.run.keep_checkpoints),
                observers=[*trackers, *self.observers],
            )
            environment = _environment(config, model, members, held_out)
            if state is None:
                directory.write("environment.json", environment)
                state = federation.begin(model.initial)
            else:
                directory.check_unchanged(environment)
            state = federation.run(state)
        residual = config.aggregation.residual(state.aggregation)
        made = model.exported(state.adapter)
        directory.write_adapter(state.adapter, model.peft_config(), residual, made)
        return Run(directory.path, config)

    def _refuse_weights_by_what_sites_say(self) -> None:
        """Refuse an aggregation in which a site would count by the categories that it says it has."""
        if self.config.aggregation.asks_categories:
            raise ShepherdError(
                f"aggregation.name={self.config.aggregation.name} would have a site that names a category of its own "
                "count as much as all that share one, however few examples it has; name the sites of each group in "
                "aggregation.groups, or use aggregation.name=fedavg."
            )

    def _refuse_small_cohorts(self, sizes: Sequence[int]) -> None:
        """Refuse a participation that cannot choose from so many sites, or has fewer train than the settings want."""
        participation, least = self.config.participation, self.settings.minimum_updates
        participation.check(len(sizes))
        cohort = participation.cohort_size(len(sizes))
        if cohort < least:
            raise ShepherdError(
                f"participation has {cohort} of {len(sizes)} sites train in a round, and minimum_updates in "
                f"federation.yaml is {least}: of fewer, the new adapter tells what each sent; set "
                "participation.fraction=1.0, or a higher participation.count."
            )

    def _refuse_what_is_too_large(self, model: AdaptedModel, state: RunState | None, told: Tree) -> None:
        """Refuse what the run would tell sites in its next round, if they would not read it."""
        rule = self.config.aggregation
        known = rule.init(model.initial, len(self.names)) if state is None else state.aggregation
        number = 1 if state is None else state.round + 1
        check_fits({"told": rule.told(known), "residual": rule.residual(known)}, number, told)

    def _patience(self, seconds: float, enough_share: float = 1.0) -> Patience:
        return Patience(seconds, self.settings.attempts, enough_share, self.poll_s)

    def _backend(self, members: Membership, told: Tree) -> FlowerBackend:
        return FlowerBackend(
            link=self.link,
            sites=members.names,
            run=members.run,
            config=told,
            side=ClientSide.of(self.config),
            patience=self._patience(self.settings.round_timeout_s, self.settings.enough_share),
            minimum_updates=self.settings.minimum_updates,
            lost=Observers(self.observers).lost,
            refused=members.refused,
            plausible=Plausible(self.config, members.sizes),
            members=members.sites,
        )

    def _evaluate(
        self,
        directory: RunDirectory,
        members: Membership,
        model: AdaptedModel,
        held_out: Instructions | None,
        told: Tree,
    ) -> Evaluate:
        """Return what evaluates an adapter: on the coordinator's own hold-out, or on what the sites keep back."""
        config = self.config
        if held_out is None:
            patience = self._patience(self.settings.round_timeout_s, self.settings.enough_share)
            return SiteEvaluation(config, self.link, members, told, patience)
        evaluator = evaluator_of(config, held_out, model)
        return DueEvaluation(evaluator, model, config.rounds, directory.write_answers)


def refuse_simulated(config: RunConfig) -> None:
    """Refuse a config that simulates devices.

    Raises
    ------
    ShepherdError
        Saying what to leave out.
    """
    if config.system is not None:
        raise ShepherdError(
            "The config's system simulates devices and networks, and these sites have real ones; leave system out."
        )


@dataclass(frozen=True)
class SiteEvaluation:
    """Evaluates an adapter where the data is: each site on what it keeps back; only sums come here.

    Attributes
    ----------
    config : RunConfig
        Says when it is due.
    link : Link
        Carries the messages.
    members : Membership
        The sites.
    told : Tree
        What sites are told of the config.
    patience : Patience
        How long to wait for them.
    """

    config: RunConfig
    link: Link
    members: Membership
    told: Tree
    patience: Patience

    def __call__(self, adapter: Adapter, round: int, residual: Tree) -> Line | None:
        """Return the loss over all held-out response tokens of the sites that answer, and each site's own."""
        if not self.config.evaluation.due(round, self.config.rounds):
            return None
        began, wire = time.perf_counter(), adapter.to_bytes()
        questions = {}
        for number, (name, said) in enumerate(self.members.sites.items()):
            if said.held_out:
                body = Told(
                    self.told, len(self.members.names), number, residual=residual, **joined_with(said)
                ).to_tree()
                check_fits(body, max(1, round), self.told)
                questions[name] = Envelope("evaluate", self.members.run, round, body, wire)
        if not questions:
            raise ShepherdError(
                "There is nothing to evaluate on: give the coordinator a hold-out (data.holdout.name=file "
                "data.holdout.path=FILE), or have the sites keep some back (data.holdout.name=fraction)."
            )
        found, plausible = dict[str, Evaluation](), Plausible(self.config, self.members.sizes)
        for name, answer in gather(self.link, questions, self.patience, refused=self.members.refused):
            try:
                if isinstance(answer, Lost):
                    raise Refused(answer.reason)
                measured = declared(Evaluation, answer.body)
                plausible.check_evaluation(self.members.sites[name].held_out, measured)
                found[name] = measured
            except Refused as error:
                why = str(error).rstrip(".")
                log.warning("Site '%s' does not evaluate after round %d: %s.", name, round, why)
        return _line(round, {name: found[name] for name in questions if name in found}, began)


def _line(round: int, found: dict[str, Evaluation], began: float) -> Line:
    if not found:
        raise ShepherdError(
            f"No site evaluated the adapter after round {round}; start the coordinator again with --resume when "
            "they can be reached."
        )
    tokens = sum(one.tokens for one in found.values())
    loss = sum(one.loss * one.tokens for one in found.values()) / max(1, tokens)
    figures = {
        "loss_by_client": {name: one.loss for name, one in found.items()},
        "machine": {"seconds": time.perf_counter() - began},
    }
    return global_line(round, loss, sum(one.examples for one in found.values()), tokens, figures)


def own_holdout(config: RunConfig) -> Instructions | None:
    """Return the instructions the coordinator itself evaluates on; None where the sites evaluate.

    They are a file of its own (``data.holdout.name=file``), or the ``global_test`` beside clients' files.
    """
    if isinstance(config.data.holdout, File):
        return config.data.holdout.read(config.seed)
    if isinstance(config.allocation, ClientFiles):
        return read_hold_out(Path(config.allocation.path).expanduser())
    return None


def _environment(
    config: RunConfig, model: AdaptedModel, members: Membership, held_out: Instructions | None
) -> dict[str, Any]:
    """Say what the run rests on: the data as fingerprints, and what each site has."""
    sites = {
        name: {"device": site.device, "threads": site.threads, "versions": site.versions}
        for name, site in members.sites.items()
    }
    at_sites = sum(site.held_out for site in members.sites.values())
    data = {
        "source": f"{len(members.names)} sites",
        "encoded_fingerprint": digest({name: site.data for name, site in members.sites.items()}),
        "holdout_fingerprint": held_out.fingerprint() if held_out is not None else "at the sites",
        "training_rows": sum(members.sizes),
        "holdout_rows": len(held_out) if held_out is not None else at_sites,
        "truncated_rows": sum(site.truncated for site in members.sites.values()),
    }
    return surroundings(config, model, data) | {"sites": sites, "capacity": config.capacity.facts()}
