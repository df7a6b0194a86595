"""What stands below a table of scores by group: what its figures are, and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shepherd.evaluation.group_scores import GroupScores
from shepherd.evaluation.groups import Grouping
from shepherd.evaluation.measured import is_worse
from shepherd.report.intervals import noise_note

#: More groups than this have a worst one by chance, and groups of fewer questions lie far apart by chance.
_MANY_GROUPS, _FEW_QUESTIONS = 20, 10


def group_notes(
    grouping: Grouping, metric: str, found: Sequence[GroupScores], against: str | None
) -> Iterator[str]:
    """Yield the sentences below a table by group.

    Parameters
    ----------
    grouping : Grouping
        The groups.
    metric : str
        What is shown of them.
    found : sequence of GroupScores
        Every model, with corrected p-values if they are differences.
    against : str, optional
        The model that they are the differences to.
    """
    if against:
        yield "In brackets: a group's questions, and a figure's 95 % interval over questions."
    else:
        yield "In brackets: questions. ±: half of the 95 % interval over questions."
    if metric == "loss":
        yield "Loss in nats per reference token; the worst group has the highest."
    if against:
        yield f"Model less {against}, question by question."
        yield noise_note([interval for model in found for interval in model.compared])
    yield from grouping.notes
    yield from filter(None, [_small_groups(grouping)])
    if against:
        yield from filter(None, [_worse(model, against) for model in found])


def _small_groups(grouping: Grouping) -> str:
    """Say that many or small groups have a worst one by chance; nothing where they are few and large."""
    groups = len(grouping.names)
    tiny = sum(grouping.questions_of(number) < _FEW_QUESTIONS for number in range(groups))
    if not tiny and groups <= _MANY_GROUPS:
        return ""
    few = f", {tiny} of them with fewer than {_FEW_QUESTIONS} questions" if tiny else ""
    return f"There are {groups} groups{few}: which is the worst or best, and by how much, is largely noise."


def _worse(model: GroupScores, against: str) -> str:
    """Say in which groups a model is worse than `against`, beyond the noise."""
    worse = [name for name, difference in model.groups.items() if is_worse(difference, model.metric)]
    where = f"in {len(worse)} of {len(model.groups)} groups: {', '.join(worse)}"
    return f"{model.label} is worse than {against} {where}." if worse else ""
