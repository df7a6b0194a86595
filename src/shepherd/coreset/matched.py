"""As many examples as another run trained on: how two ways of choosing are compared fairly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from shepherd.coreset.base import Cohort
from shepherd.coreset.size import SizedCoreset
from shepherd.data.population import ClientView
from shepherd.errors import ShepherdError
from shepherd.messages import ClientJob
from shepherd.report.run_files import read_metrics
from shepherd.tree import Tree

if TYPE_CHECKING:
    from shepherd.model.adapted import AdaptedModel


class MatchedCoreset(SizedCoreset):
    """A coreset whose size is a setting, or another run's finding.

    Attributes
    ----------
    matched : str, optional
        Instead of `ratio` or `count`, the directory of a finished run of the same clients: each chooses as many
        examples as it trained on there in the same round, and sits out where it did not train.
    """

    matched: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if self.matched is not None and (self.ratio is not None or self.count is not None):
            raise ValueError("give matched, or one of ratio and count")
        return self

    def prepare(self, model: AdaptedModel) -> None:
        """See that the run to match is there."""
        if self.matched is not None:
            self._counts(self.matched)

    def choose(
        self, cohort: Cohort, messages: Mapping[int, Tree], state: Tree
    ) -> tuple[dict[int, Any], Tree]:
        """Say how many each is to draw, where another run has the say."""
        if self.matched is None:
            return super().choose(cohort, messages, state)
        counts = self._counts(self.matched)
        last = max(round for round, _ in counts)
        if cohort.round + 1 > last:
            raise ShepherdError(
                f"coreset.matched: {self.matched} ends with round {last}, so there is nothing to match in round "
                f"{cohort.round + 1}; let it run on, or set rounds={last}."
            )
        found: dict[int, Any] = {
            client: counts[cohort.round + 1, name]
            for client, name in zip(cohort.clients, cohort.names, strict=True)
            if (cohort.round + 1, name) in counts
        }
        if not found:
            raise ShepherdError(
                f"coreset.matched: nobody of round {cohort.round + 1}'s cohort took part in it in {self.matched}; "
                "match a run of the same seed, allocation and participation."
            )
        return found, state

    def wanted(self, view: ClientView, job: ClientJob) -> int:
        """Return how many of its examples a client is to train on."""
        return self.size(len(view)) if job.choice is None else min(int(job.choice), len(view))

    @staticmethod
    def _counts(path: str) -> dict[tuple[int, str], int]:
        """Return how many examples each client trained on in each round of a run."""
        lines = [line for line in read_metrics(Path(path)) if line["scope"] == "client"]
        if not lines:
            raise ShepherdError(f"coreset.matched: no client has trained in {path}; give a run that has.")
        return {(line["round"], line["client"]): int(line["selected"]) for line in lines}
