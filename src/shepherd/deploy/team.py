"""The processes of one site, as torchrun starts them: together they take every optimiser step of its training.

The first one is the site: it alone talks to the coordinator, keeps states, chooses examples and evaluates. The others
hold the base and the examples, and wait, for weeks if need be, for what it orders. Tried with processes on CPUs; on
several GPUs it was not, for want of them.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import torch

from shepherd.config import RunConfig
from shepherd.data.encoding import EncodedExamples
from shepherd.deploy.child import die_with_parent
from shepherd.deploy.refusal import Refused
from shepherd.deploy.shared import layout_digest, read_shared
from shepherd.errors import ShepherdError
from shepherd.model.adapted import AdaptedModel
from shepherd.model.adapter import Adapter
from shepherd.model.base import load_base
from shepherd.preparation import encoded
from shepherd.processes import Processes, ProcessLost, joined
from shepherd.torchrun import all_on_this_machine
from shepherd.training import Engine, LocalTask, Training
from shepherd.training.shared_engine import OutOfMemoryTogether, SharedEngine
from shepherd.tree import Tree

if TYPE_CHECKING:
    from shepherd.deploy.site import Ready, Site

_IDLE = timedelta(days=3650)  # between two runs of a federation; a process that ends is noticed at once
#: What of a task is told as it is.
_TASK = ("seed", "round", "rounds", "client", "state", "told")


class Team:
    """The processes of a site, as its first one has them; one on its own does everything itself.

    Parameters
    ----------
    processes : Processes, optional
        Those that torchrun started.

    Attributes
    ----------
    broken : bool
        Whether something was begun together and not ended together, so that nothing more can be.
    """

    def __init__(self, processes: Processes | None = None) -> None:
        self.processes = processes or Processes()
        self.broken = False

    def threads(self, wanted: int) -> int:
        """Return how many of the site's CPU threads are this process's."""
        return max(1, wanted // self.processes.count)

    def prepare(self, config: Tree, ready: Ready) -> None:
        """Have the others load what the first process has loaded.

        Parameters
        ----------
        config : Tree
            What the site was told.
        ready : Ready
            What was made of it, and held against the site's limits.

        Raises
        ------
        Refused
            If the run's training cannot be shared.
        ProcessLost
            If a process has ended, or has loaded something else.
        """
        if self.processes.count == 1:
            return
        engines = _engines(ready.config)
        self.broken = True
        self.processes.tell({"do": "prepare", "config": config})
        _Held(engines, ready.model, ready.examples).check_alike(self.processes)
        self.broken = False

    def training(self, config: RunConfig) -> Training:
        """Return the training of a config, which all the processes do together; and so all that is made of it."""
        if self.processes.count == 1:
            return config.training
        engines = _engines(config)
        return SharedEngine.of(engines[0], self.processes, partial(self._ordered, engines))

    @contextmanager
    def _ordered(
        self,
        engines: Sequence[Engine],
        engine: Engine,
        model: AdaptedModel,
        adapter: Adapter,
        task: LocalTask,
    ) -> Iterator[None]:
        """Have the others train the same, in lock-step with what is done in this context."""
        which = [dict(one) for one in engines].index(dict(engine))
        self.broken = True
        self.processes.tell({"do": "train", "engine": which, **_order(model, adapter, task)})
        try:
            yield
        except OutOfMemoryTogether:
            self.broken = False  # all of them stopped at the same step
            raise
        self.broken = False

    def dismiss(self) -> None:
        """Tell the others that the site stops.

        Raises
        ------
        ShepherdError
            If they no longer work together.
        """
        try:
            if self.broken:
                raise ProcessLost
            if self.processes.count > 1:
                self.processes.tell({"do": "stop"})
                self.processes.wait()
        except ProcessLost as error:
            raise ShepherdError(
                "A process of this site has ended or failed, so the site has stopped; start it again with the same "
                "torchrun command, and the coordinator asks again for what is missing."
            ) from error


def follow(processes: Processes, site: Site) -> None:
    """Do, in another process than the first, what that one orders, until it says stop or has ended.

    Parameters
    ----------
    processes : Processes
        Those of the site.
    site : Site
        Says where data and folder are; it answers nothing here.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the first process stops when it has answered
    held: _Held | None = None
    try:
        while (order := processes.tell())["do"] != "stop":
            if order["do"] == "prepare":
                held = None  # the old base makes room first
                held = _load(order["config"], site, Team(processes))
                held.check_alike(processes)
            else:
                assert held is not None
                held.train(processes, order)
        processes.wait()
    except ProcessLost:
        raise SystemExit(1) from None  # the first process, or torchrun, says why


@dataclass(frozen=True)
class _Held:
    """What every process of a site has loaded of one config."""

    engines: Sequence[Engine]
    model: AdaptedModel
    examples: EncodedExamples

    def check_alike(self, processes: Processes) -> None:
        """Compare it with what the others have."""
        own = {
            "base": self.model.base.fingerprint,
            "adapter": layout_digest(self.model.layout),
            "data": self.examples.fingerprint,
        }
        for other in processes.gather(own):
            for part, fingerprint in own.items():
                if other[part] != fingerprint:
                    raise ProcessLost(f"The processes of this site have not loaded the same {part}.")

    def train(self, processes: Processes, order: Tree) -> None:
        """Do, in another process than the first, what that one begins."""
        self.model.most_tokens = order["most_tokens"]
        self.model.rest_on(order["residual"])
        segments = None if order["segments"] is None else tuple(slice(*part) for part in order["segments"])
        task = LocalTask(self.examples, order["rows"].numpy(), segments=segments, **order["task"])
        adapter = Adapter.from_vector(self.model.layout, order["adapter"])
        try:
            SharedEngine.of(self.engines[order["engine"]], processes).train_alike(self.model, adapter, task)
        except OutOfMemoryTogether:
            pass  # the first process begins anew, with less; only outside is the memory free again
        else:
            return
        torch.cuda.empty_cache()


def _load(told: Tree, site: Site, team: Team) -> _Held:
    """Load what the first process has loaded, and found within the site's limits."""
    config = read_shared(told)
    if site.settings.threads is not None:
        torch.set_num_threads(team.threads(site.settings.threads))
    model = AdaptedModel(load_base(config.model), config.adapter, config.seed)
    train, _ = config.data.holdout.split(site.instructions, config.seed)
    return _Held(_engines(config), model, encoded(config, train, model, site.folder / "encoded"))


def _engines(config: RunConfig) -> list[Engine]:
    """Return what a client trains with: everybody's adapter and, where that is done beside it, its own.

    Raises
    ------
    Refused
        If several processes cannot share the steps of that.
    """
    training = config.training
    beside = config.personalisation.beside(training) if config.personalisation is not None else None
    found = [one for one in (training, beside) if isinstance(one, Engine) and one.shares_steps]
    if len(found) < 1 + (beside is not None):
        raise Refused(
            "this site trains in several processes, which the run's training cannot; use training.name=engine"
        )
    return found


def _order(model: AdaptedModel, adapter: Adapter, task: LocalTask) -> Tree:
    """Say all that a process with the same model and examples must know to train the same."""
    return {
        "most_tokens": model.most_tokens,
        "residual": model.rests_on,
        "adapter": adapter.vector,
        "rows": torch.tensor(task.rows),
        "segments": None if task.segments is None else [[part.start, part.stop] for part in task.segments],
        "task": {name: getattr(task, name) for name in _TASK},
    }


@contextmanager
def teamed() -> Iterator[Processes]:
    """Be one of the processes that torchrun started for a site, or the site's only one.

    Raises
    ------
    ShepherdError
        If they are on several machines, or do not find one another.
    """
    if not all_on_this_machine():
        raise ShepherdError(
            "A site's processes share its folder, so torchrun must start them on one machine; leave out --nnodes."
        )
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # what they tell one another leaves no machine
    with joined(_IDLE) as processes:
        if processes.count > 1 and processes.main:
            die_with_parent()  # without torchrun nobody would end the other processes
        yield processes
