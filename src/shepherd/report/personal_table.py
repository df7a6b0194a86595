"""Clients' own adapters beside everybody's: on what each holds itself, and on what nobody has seen."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from rich.table import Table

from shepherd.personal_scores import PersonalScore
from shepherd.report.comparison_table import Column, csv_text, line_table
from shepherd.report.units import fixed, percent, signed, whole

#: So many clients are shown each; of more there are the figures over all of them.
_SHOWN = 20
_FIGURES = (
    *("client", "trained_on", "own_test", "own_loss_shared", "own_loss_personal"),
    *("unseen_loss_shared", "unseen_loss_personal"),
    *("own_weight", "unseen_weight", "peft_weight"),
)


class _Line:
    """A line of the summary: one adapter, or the difference, over all clients."""

    def __init__(self, label: str, own: Sequence[float], unseen: Sequence[float]) -> None:
        self.label, self.own, self.unseen = label, own, unseen


def summary_table(scores: Sequence[PersonalScore]) -> Table:
    """Return what becomes of the loss over all clients, each counting alike; the better of two is bold."""
    own = [(score.own_loss_shared, score.own_loss_personal) for score in scores]
    unseen = [(score.unseen_loss_shared, score.unseen_loss_personal) for score in scores]
    lines = [
        _Line(label, [pair[side] for pair in own], [pair[side] for pair in unseen])
        for side, label in enumerate(("Everybody's adapter", "Each client's own"))
    ]
    better = sum(personal < shared for shared, personal in own) / len(scores)
    better_unseen = sum(personal < shared for shared, personal in unseen) / len(scores)
    caption = (
        "Mean ± standard deviation over the clients; loss in nats per response token. Its own adapter is the better "
        f"one for {percent(better)} of the clients on their own test, and for {percent(better_unseen)} on what nobody "
        "has seen."
    )
    columns = [
        _spread("Own test", lambda line: line.own),
        Column("Worst client", lambda line: max(line.own), lambda line: fixed(max(line.own)), min),
        _spread("Unseen", lambda line: line.unseen),
    ]
    title = f"{whole(len(scores))} clients with adapters of their own"
    return line_table(title, caption, "Adapter", lines, columns)


def _spread(heading: str, values: Callable[[_Line], Sequence[float]]) -> Column[_Line]:
    def write(line: _Line) -> str:
        """Write mean and deviation."""
        return f"{fixed(statistics.fmean(values(line)))} ± {fixed(statistics.pstdev(values(line)))}"

    return Column(heading, lambda line: statistics.fmean(values(line)), write, min)


def _change(heading: str, of: Callable[[PersonalScore], float]) -> Column[_ClientLine]:
    return Column(heading, lambda line: of(line.score), lambda line: signed(of(line.score)))


def _weight(heading: str, of: Callable[[PersonalScore], float | None]) -> Column[_ClientLine]:
    return Column(heading, lambda line: of(line.score), lambda line: fixed(of(line.score)))


class _ClientLine:
    """A client in the table of clients."""

    def __init__(self, score: PersonalScore) -> None:
        self.label, self.score = score.client, score


def client_table(scores: Sequence[PersonalScore]) -> Table:
    """Return a line a client, those first that gain most on their own test."""
    lines = [_ClientLine(score) for score in sorted(scores, key=lambda score: score.own_change)[:_SHOWN]]
    columns = [
        Column[_ClientLine](
            "Trained on", lambda line: line.score.trained_on, lambda line: whole(line.score.trained_on)
        ),
        Column[_ClientLine](
            "Tested on", lambda line: line.score.own_test, lambda line: whole(line.score.own_test)
        ),
        _change("Own test", lambda score: score.own_change),
        _change("Unseen", lambda score: score.unseen_change),
    ]
    if any(score.own_weight is not None for score in scores):
        columns += [
            _weight("Weight, own test", lambda score: score.own_weight),
            _weight("Weight, unseen", lambda score: score.unseen_weight),
        ]
    hidden = len(scores) - len(lines)
    caption = "Below zero the client's own adapter is the better one."
    if hidden:
        caption += f" {whole(hidden)} more clients are in the CSV."
    return line_table("What becomes of the loss with its own adapter", caption, "Client", lines, columns)


def to_csv(scores: Sequence[PersonalScore]) -> str:
    """Return every client's figures, unrounded."""
    return csv_text(_FIGURES, ([getattr(score, figure) for figure in _FIGURES] for score in scores))
