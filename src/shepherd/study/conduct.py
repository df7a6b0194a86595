"""FedIT's whole study: the federation and its baselines, their answers, and what a judge says of them.

Everything goes on where it was stopped: runs from their last round, answers and replies from the last one kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from shepherd.baselines import CENTRALISED, UNTUNED, Alone, run_baselines
from shepherd.config import RunConfig
from shepherd.errors import ShepherdError
from shepherd.judge.choosing import comparisons
from shepherd.judge.comparisons import Comparison
from shepherd.judge.settings import JudgeSettings
from shepherd.observer import Observer
from shepherd.study import answering
from shepherd.study.asking import Asking
from shepherd.study.config import StudyConfig
from shepherd.study.directory import Study
from shepherd.study.holdout import HOLDOUT, check_holds_out
from shepherd.study.posing import begin_study
from shepherd.study.sources import Source, as_label

FEDERATED = "federated"
_OWN, _ALONE = (FEDERATED, CENTRALISED, UNTUNED), "alone-"


@dataclass(frozen=True)
class Conduct:
    """A study being conducted.

    Attributes
    ----------
    config : StudyConfig
        What is studied.
    run : RunConfig
        The federation.
    others : list of Source
        Models besides the federation and its baselines, such as ChatGPT; every other is judged against them too.
    asking : Asking
        How models are asked.
    """

    config: StudyConfig
    run: RunConfig
    others: list[Source]
    asking: Asking

    def check(self) -> None:
        """Find out before the training, and not after it, whether the other models can be asked.

        Raises
        ------
        ShepherdError
            If one cannot be loaded or reached, is called as one of the study's own, or was tuned on other data than the
            federation is to be.
        """
        from shepherd.study.loadable import check_loadable  # takes transformers with it

        for other in self.others:
            if other.label in _OWN or other.label.startswith(_ALONE):
                raise ShepherdError(
                    f"--also: '{other.label}' is a model of the study itself; give the other one another name "
                    "(--also NAME=...)."
                )
        self.asking.check(self.others)
        check_loadable(self.others)
        runs = [Path(other.place) for other in self.others if other.kind == "run"]
        if runs and any(asked.source == HOLDOUT for asked in self.config.questions.values()):
            check_holds_out(runs, self.run)

    def train(self, progress: Callable[[str], AbstractContextManager[Observer]]) -> list[Source]:
        """Complete the federation and its baselines; return everybody who is to answer, the federation first."""
        self.check()
        holding = [kinds.split("+") for kinds in self.config.alone_on]
        alone = run_baselines(self.run, Alone(holding=holding), self.config.budget, progress)
        return [*self._sources(alone), *self.others]

    def _sources(self, alone: dict[str, str]) -> Iterator[Source]:
        baselines = self.run.run.directory / "baselines"
        yield Source(FEDERATED, "run", str(self.run.run.directory))
        for called, folder in alone.items():
            yield Source(as_label(f"{_ALONE}{called}"), "run", str(baselines / folder))
        for label in (CENTRALISED, UNTUNED):
            yield Source(label, "run", str(baselines / label))

    def studies(self, sources: list[Source]) -> list[Study]:
        """Begin the study of every set of questions, in the run directory."""
        return [
            begin_study(self.run.run.directory / "studies" / name, asked.source, sources, counts=asked.counts)
            for name, asked in self.config.questions.items()
        ]

    def answer(self, study: Study, sources: list[Source], watcher: answering.Watcher) -> None:
        """Have everybody answer what is missing."""
        with study.held():
            self.asking.ask(study, sources, watcher)

    def comparisons(self, study: Study, settings: JudgeSettings) -> list[Comparison]:
        """Return what is judged: all against the federation (Table 3), and against each other model (figure 3)."""
        ours = [label for label in study.models() if label not in {other.label for other in self.others}]
        questions = [question.id for question in study.questions()]
        found = []
        for reference in (FEDERATED, *(other.label for other in self.others)):
            models = [label for label in ours if label != reference]
            found += comparisons(study, models, reference, questions, settings)
        return found
