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
from shepherd.run_files import read_metrics
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
            _counts(self.matched)

    def choose(
        self, cohort: Cohort, messages: Mapping[int, Tree], state: Tree
    ) -> tuple[dict[int, Any], Tree]:
        """Say how many each is to choose, where another run has the say."""
        if self.matched is None:
            return super().choose(cohort, messages, state)
        counts, number = _counts(self.matched), cohort.round + 1
        if number not in counts:
            raise ShepherdError(
                f"coreset.matched: {self.matched} ends with round {max(counts)}, so there is nothing to match in round "
                f"{number}; let it run on, or set rounds={max(counts)}."
            )
        strangers = sorted(set(counts[number]) - set(cohort.names))
        if strangers:
            raise ShepherdError(
                f"coreset.matched: client '{strangers[0]}' took part in round {number} of {self.matched}, but not "
                "here; match a run of the same seed, allocation and participation."
            )
        numbered = zip(cohort.clients, cohort.names, strict=True)
        return {client: counts[number][name] for client, name in numbered if name in counts[number]}, state

    def wanted(self, view: ClientView, job: ClientJob) -> int:
        """Return how many of its examples a client is to train on."""
        if job.choice is None:
            return self.size(len(view))
        if job.choice > len(view):
            raise ShepherdError(
                f"coreset.matched: client '{view.name}' trained on {job.choice:,} examples in {self.matched}, but has "
                f"{len(view):,} to choose from here; match a run of the same allocation, without a filter before it."
            )
        return int(job.choice)


def _counts(path: str) -> dict[int, dict[str, int]]:
    """Return how many examples each client trained on in each round of a run."""
    lines = read_metrics(Path(path))
    counts: dict[int, dict[str, int]] = {line["round"]: {} for line in lines if line["scope"] == "round"}
    if not counts:
        raise ShepherdError(f"coreset.matched: there is no run with a trained round in {path}; give one.")
    for line in lines:
        if line["scope"] == "client" and line["round"] in counts:
            if "selected" not in line:
                raise ShepherdError(
                    f"coreset.matched: {path} was run by an older Shepherd, which did not count what was selected; "
                    "run it again."
                )
            counts[line["round"]][line["client"]] = int(line["selected"])
    return counts
