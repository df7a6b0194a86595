"""After a run: every client's own adapter, tested on what the client itself holds and on what nobody has seen.

Of a run that kept nothing of what clients hold (data.own_test) the adapters are made, too, and tested on the latter.

A personal model that is better on its own examples and worse on unseen ones has overfitted, so both are said.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import cached_property

import torch

from shepherd.client import ClientSide, own_adapter
from shepherd.config import RunConfig
from shepherd.errors import ShepherdError
from shepherd.files import digest_of
from shepherd.model.adapter import WEIGHTS_FILE, Adapter
from shepherd.model.batch import Example, load
from shepherd.model.pairs import ACCURACY
from shepherd.opening import Opening
from shepherd.participation import Candidates
from shepherd.personal_scores import PersonalScore, client_folder, personal_folder, read_scores, write_score
from shepherd.personalisation.own_model import OwnModel, Tested
from shepherd.preparation import Prepared, prepare
from shepherd.run_directory import RunDirectory
from shepherd.runs import Run
from shepherd.state import RunState
from shepherd.training import LocalTask, Training
from shepherd.tree import Tree

log = logging.getLogger(__name__)


class Personaliser:
    """Makes and tests clients' own adapters.

    Parameters
    ----------
    run : Run
        A finished run that gives clients adapters of their own.

    Attributes
    ----------
    folder : Path
        Where scores and adapters are kept: ``personal`` in the run directory.

    Raises
    ------
    ShepherdError
        If the run gives nobody an adapter of its own, or it is not finished.
    """

    def __init__(self, run: Run) -> None:
        self.run, self.config = run, run.config
        self.folder = personal_folder(run.directory)
        _refuse_impersonal(self.config)
        self._prepared: Prepared = prepare(self.config)
        self._state: RunState = RunDirectory(run.directory).committed(self._prepared.model.initial)
        if self._state.round < self.config.rounds:
            raise ShepherdError(f"{run.directory} is not finished; go on with shepherd run --resume first.")
        self._side = ClientSide.of(self.config)
        population = self._prepared.population
        everybody = Candidates(self._state.round, self.config.seed, population.sizes, population.names)
        self._opening = Opening(self._state, everybody, self.config.aggregation, self.config.capacity)
        self._shared_unseen: Tested | None = None

    @property
    def clients(self) -> Sequence[str]:
        """Everybody's names."""
        return self._prepared.population.names

    def number_of(self, name: str) -> int:
        """Return a client's number; see `Allocated.number_of`."""
        return self._prepared.dealt.allocated.number_of(name)

    def scores(self, clients: Sequence[int]) -> Iterator[PersonalScore]:
        """Yield the score of each client; what was done before, and is still whole, is not done again."""
        done = {score.client: score for score in read_scores(self.run.directory)}
        for client in clients:
            name = self.clients[client]
            if name not in done or not self._is_whole(done[name]):
                done[name] = self._score(client)
            yield done[name]

    def _is_whole(self, score: PersonalScore) -> bool:
        """Say whether a client's adapter is the one that was tested; a warning says where it is not."""
        file = self._directory(score.client).adapter / WEIGHTS_FILE
        if file.is_file() and score.weights_sha256 in (None, digest_of(file)):
            return True
        log.warning("%s is %s; it is made anew.", file, "damaged" if file.exists() else "gone")
        return False

    def _directory(self, name: str) -> RunDirectory:
        """Return where one client's adapter is kept, in a folder of its own."""
        return RunDirectory(client_folder(self.run.directory, name))

    def _score(self, client: int) -> PersonalScore:
        """Make one client's own adapter, keep it as PEFT reads it, and test it."""
        model, state, residual = self._prepared.model, self._state, self._opening.residual
        model.rest_on(residual)
        own = self._own_model(client)
        directory = self._directory(self.clients[client])
        beneath = residual if own.beneath is None else own.beneath
        directory.write_adapter(own.adapter, model.peft_config(), beneath, model.exported(own.adapter))
        everybodys, unseen = OwnModel(adapter=state.adapter), self._unseen
        if self._shared_unseen is None:
            self._shared_unseen = everybodys.test(model, unseen)
        rows = self._prepared.dealt.own_tests[client]
        examples = load(self._prepared.examples, rows)
        shared, personal = (one.test(model, examples) if examples else None for one in (everybodys, own))
        on_unseen = own.test(model, unseen)
        score = PersonalScore(
            client=self.clients[client],
            trained_on=int(self._prepared.population.sizes[client]),
            own_test=len(rows),
            own_loss_shared=shared.loss if shared else None,
            own_loss_personal=personal.loss if personal else None,
            unseen_loss_shared=self._shared_unseen.loss,
            unseen_loss_personal=on_unseen.loss,
            own_weight=personal.weight if personal else None,
            unseen_weight=on_unseen.weight,
            peft_weight=own.weight,
            has_own=self._has_own(client),
            of_pairs=ACCURACY in self.config.training.figures,
            weights_sha256=digest_of(directory.adapter / WEIGHTS_FILE),
        )
        write_score(self.run.directory, score)  # after the adapter: what has a score is done
        return score

    def _has_own(self, client: int) -> bool:
        """Say whether a client has come to an adapter of its own: all that train after the rounds have."""
        personalisation, job = self.config.personalisation, self._opening.job(client, self.config.rounds + 1)
        if personalisation and personalisation.afterwards(self.config.training) is not None:
            return True
        kept, everybodys = job.kept("training"), self._state.adapter
        left = bool(self._opening.scope(client, self._side).own.shapes) and "own" in kept
        return left or "personal" in kept or not torch.equal(job.adapter.vector, everybodys.vector)

    def _own_model(self, client: int) -> OwnModel:
        """Return what one client computes with, its own adapter trained where that is how it comes about."""
        # The round after the last one is the address of what is drawn.
        job = self._opening.job(client, self.config.rounds + 1)
        scope, view = self._opening.scope(client, self._side), self._prepared.population.client(client)
        shared = scope.start(job.adapter, job.kept("training").get("own", {}))
        own = own_adapter(job.kept("training"), shared)
        personalisation = self.config.personalisation
        if personalisation and (training := personalisation.afterwards(self.config.training)) is not None:
            task = LocalTask(
                view.examples,
                view.rows,
                job.seed,
                job.round,
                job.rounds,
                client,
                told={**job.told, **personalisation.told(shared)},
                # By itself a client need not leave a factor as it is, as it may have to in a round with others.
                segments=None if scope.trainable.is_whole else scope.trainable.segments,
            )
            begun, beneath = personalisation.start(shared, own), personalisation.beneath(shared, job.residual)
            own = self._trained(begun, training, task, beneath)
        if personalisation is None or own is None:  # who never took part has everybody's
            return OwnModel(adapter=shared if own is None else own)
        return personalisation.own_model(shared, own, view, job.seed, self._prepared.model)

    def _trained(self, own: Adapter, training: Training, task: LocalTask, beneath: Tree) -> Adapter:
        with self._prepared.model.resting_on(beneath):
            ((trained, _),) = training.train_together(self._prepared.model, [own], [task])
        return trained

    @cached_property
    def _unseen(self) -> list[Example]:
        examples = self._prepared.evaluator.examples
        return load(examples, range(len(examples)))


def _refuse_impersonal(config: RunConfig) -> None:
    if not config.gives_own:
        raise ShepherdError(
            "The run gives no client an adapter of its own; run it with personalisation.name=fine_tune, ditto, "
            "feddpa-f or feddpa-t, or aggregation.name=fedsa or clustered."
        )
