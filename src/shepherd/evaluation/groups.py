"""Which questions belong together: by category, language, domain, client, or whether clients trained on the category.

Questions lie in cells, which share none; a group is a mean over cells. By category every cell is a group of its own. A
client's score is the mean over the categories, weighted by the client's own share of each, so that it says how the
model serves that client's kind of work.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from shepherd.data.heterogeneity import Heterogeneity
from shepherd.errors import ShepherdError
from shepherd.settings import nearest
from shepherd.study.directory import Study
from shepherd.study.questions import Question

BY_RUN = ("client", "seen")
#: No question was itself trained on: what some client trained on, or none, is its category.
SEEN, UNSEEN = "categories some client trained on", "categories no client trained on"
#: A report groups by a column of so many values at most.
_MOST_VALUES = 40


@dataclass(frozen=True)
class Grouping:
    """Groups of questions.

    Attributes
    ----------
    by : str
        What they are grouped by.
    names : list of str
        The groups.
    cells : list of str
        The cells.
    cell_of : array of int, [questions]
        Every question's cell; -1 for those in none.
    shares : array of float, [groups, cells]
        How much each cell counts in each group; rows sum to 1.
    notes : list of str
        Who was left out, and why.
    """

    by: str
    names: list[str]
    cells: list[str]
    cell_of: np.ndarray
    shares: np.ndarray
    notes: list[str] = field(default_factory=list)

    def questions_of(self, group: int) -> int:
        """Return how many questions a group's score rests on."""
        return int(np.isin(self.cell_of, np.flatnonzero(self.shares[group])).sum())


def group(questions: Sequence[Question], by: str, trained: Heterogeneity | None = None) -> Grouping:
    """Group questions.

    Parameters
    ----------
    questions : sequence of Question
        The questions.
    by : str
        ``category``, a column that the questions' file had (``language``, ``domain``, ``task``), ``client``, or
        ``seen``: the categories that some client trained on, against all others.
    trained : Heterogeneity, optional
        Which client trained on which categories; ``client`` and ``seen`` need it.

    Raises
    ------
    ShepherdError
        If the questions have no such column, or no client holds a category of theirs.
    """
    if by not in BY_RUN:
        return _by_value(questions, by)
    if trained is None:
        raise ShepherdError(f"Groups by {by} need a run's allocation.json; name the run with --run.")
    return _by_client(questions, trained) if by == "client" else _by_seen(questions, trained)


def columns_to_group_by(questions: Sequence[Question], most: int = _MOST_VALUES) -> list[str]:
    """Return the columns besides the category that part the questions into groups worth a table, sorted.

    Parameters
    ----------
    questions : sequence of Question
        The questions.
    most : int
        The most values such a column may have; it has two at least, and two questions of each on average. Fractions
        are measures rather than groups, and of columns that part the questions alike one is enough.
    """
    parted = {_parts(questions, "category")}
    found = []
    for by in _columns(questions):
        if by in ("category", *BY_RUN):  # --by would take these for something else
            continue
        values, parts = _values(questions, by), _parts(questions, by)
        names = {str(value) for value in values if _told(value)}
        is_measure = any(isinstance(value, float) for value in values)
        if 2 <= len(names) <= min(most, len(questions) // 2) and not is_measure and parts not in parted:
            found.append(by)
            parted.add(parts)
    return found


def _parts(questions: Sequence[Question], by: str) -> tuple[int, ...]:
    """Return every question's group by its number in the order of appearance, so that names do not matter."""
    numbers: dict[str | None, int] = {}
    told = (str(value) if _told(value) else None for value in _values(questions, by))
    return tuple(numbers.setdefault(value, len(numbers)) for value in told)


def _columns(questions: Sequence[Question]) -> list[str]:
    """Return the columns that say something of at least one question, sorted."""
    return sorted({name for q in questions for name, value in q.fields.items() if _told(value)})


def _values(questions: Sequence[Question], by: str) -> list[object]:
    """Return what every question says in a column."""
    return [question.category if by == "category" else question.fields.get(by) for question in questions]


def _by_value(questions: Sequence[Question], by: str) -> Grouping:
    values = _values(questions, by)
    if not any(_told(value) for value in values):
        known = ["category", *_columns(questions), *BY_RUN]
        raise ShepherdError(
            f"The questions say nothing of '{by}', so they cannot be grouped by it{nearest(by, known)}."
        )
    found = _cells(by, [str(value) if _told(value) else None for value in values])
    missing = int((found.cell_of < 0).sum())
    notes = [f"{missing} questions say nothing of {by} and are in no group."] if missing else []
    return Grouping(by, found.names, found.cells, found.cell_of, found.shares, notes)


def _told(value: object) -> bool:
    """Say whether a value names a group: it is there, and is no list or mapping."""
    return value is not None and value != "" and not isinstance(value, (list, dict))


def _cells(by: str, values: Sequence[str | None]) -> Grouping:
    """Return groups of one cell each."""
    names = sorted({value for value in values if value is not None})
    place = {name: number for number, name in enumerate(names)}
    cell_of = np.array([-1 if value is None else place[value] for value in values], dtype=int)
    return Grouping(by, names, names, cell_of, np.eye(len(names)))


def _training_category(question: Question, known: Sequence[str]) -> str:
    """Return the category that a question would be trained under: runs may have dealt by task."""
    task = str(question.fields.get("task", ""))
    return task if task in known and question.category not in known else question.category


def _by_seen(questions: Sequence[Question], trained: Heterogeneity) -> Grouping:
    known = set(trained.categories)
    return _cells(
        "seen", [SEEN if _training_category(q, trained.categories) in known else UNSEEN for q in questions]
    )


def _by_client(questions: Sequence[Question], trained: Heterogeneity) -> Grouping:
    found = _cells("client", [_training_category(question, trained.categories) for question in questions])
    shares = np.zeros((len(trained.names), len(found.cells)))
    for column, cell in enumerate(found.cells):
        if cell in trained.categories:
            shares[:, column] = trained.shares[:, trained.categories.index(cell)]
    covered = shares.sum(axis=1)
    kept = np.flatnonzero(covered > 0)
    if not len(kept):
        raise ShepherdError(
            f"No client trained on a category of these questions ({', '.join(found.cells[:5])}, …), so there are no "
            "scores by client; group them by seen or category."
        )
    names = [trained.names[client] for client in kept]
    notes = _client_notes(trained, covered)
    return Grouping("client", names, found.cells, found.cell_of, shares[kept] / covered[kept, None], notes)


def _client_notes(trained: Heterogeneity, covered: np.ndarray) -> list[str]:
    notes = []
    if trained.sampled:
        notes.append(f"The run's record has {len(trained.names)} of its {trained.population} clients.")
    left_out, partly = int((covered == 0).sum()), int(((covered > 0) & (covered < 1 - 1e-9)).sum())
    if left_out:
        notes.append(f"{left_out} clients hold no category of the questions and are left out.")
    if partly:
        least = covered[covered > 0].min()
        notes.append(f"Of {partly} clients the questions cover a part of the examples, {least:.0%} at least.")
    return notes


def allocation(study: Study, models: Sequence[str], run: Path | None = None) -> Heterogeneity:
    """Return which client trained on what, in the run named or the only one among the models.

    Raises
    ------
    ShepherdError
        If there is no such record, or there are several runs to choose from.
    """
    if run is None:
        run = _only_run(study, models)
    path = run / "allocation.json"
    try:
        return Heterogeneity.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ShepherdError(
            f"{path} cannot be read ({error.strerror}); name a run directory with --run."
        ) from error
    except ValueError as error:
        raise ShepherdError(f"{path} is damaged and cannot be read; restore it or repeat the run.") from error


def _only_run(study: Study, models: Sequence[str]) -> Path:
    """Return the run that the models come from; a baseline belongs to its run."""
    sources = [Path(study.card(label).source) for label in models if study.card(label).kind == "run"]
    runs = {path.parents[1] if path.parent.name == "baselines" else path for path in sources}
    if len(runs) != 1:
        listed = f": {', '.join(sorted(map(str, runs)))}" if runs else ""
        raise ShepherdError(
            f"The models come from {len(runs)} runs{listed}; say with --run who trained on what."
        )
    return runs.pop()
