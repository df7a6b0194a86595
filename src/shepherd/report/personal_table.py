"""Clients' own adapters beside everybody's: on what each holds itself, and on what nobody has seen."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rich.table import Table

from shepherd.personal_scores import PersonalScore
from shepherd.report.tables import Column, csv_text, line_table
from shepherd.units import counted, fixed, percent, signed, whole

#: So many clients are shown each; of more there are the figures over all of them.
_SHOWN = 20
_FIGURES = (
    *("client", "has_own", "trained_on", "own_test", "own_loss_shared", "own_loss_personal"),
    *("unseen_loss_shared", "unseen_loss_personal"),
    *("own_weight", "unseen_weight", "peft_weight"),
)
_OF_PAIRS = (
    "Trained on pairs: the loss is that of the chosen answers, which is not what such training minimises, so that it "
    "ranks no adapter."
)
_Change = Callable[[PersonalScore], float | None]


@dataclass(frozen=True)
class _Line:
    """A line of the summary: one adapter over all clients, and of these over those with a test of their own."""

    label: str
    own: Sequence[float]
    unseen: Sequence[float]


def personal_tables(scores: Sequence[PersonalScore]) -> list[Table]:
    """Return what is shown: the summary and, where anybody has an adapter of its own, the clients."""
    return [summary_table(scores), *([client_table(scores)] if with_own(scores) else [])]


def with_own(scores: Sequence[PersonalScore]) -> list[PersonalScore]:
    """Return the scores of those that have come to an adapter of their own."""
    return [score for score in scores if score.has_own]


def summary_table(scores: Sequence[PersonalScore]) -> Table:
    """Return what becomes of the loss over the clients with adapters of their own, each counting alike.

    The better of two is bold, but for adapters trained on pairs, whose loss does not say which that is. Where nobody
    has come to one there is everybody's alone.
    """
    own = with_own(scores)
    lines = [_everybodys(own or scores), *([_each_its_own(own)] if own else [])]
    columns = [_spread("Unseen", lambda line: line.unseen)]
    if lines[0].own:
        worst = Column[_Line](
            "Worst client", lambda line: max(line.own), lambda line: fixed(max(line.own)), min
        )
        columns = [_spread("Own test", lambda line: line.own), worst, *columns]
    if of_pairs(scores):
        columns = [replace(column, best=None) for column in columns]
    parts = [
        "Mean ± standard deviation over the clients; loss in nats per response token.",
        _OF_PAIRS if of_pairs(scores) else "",
        _shares(own),
        _untested(own or scores),
        _without_own(scores),
    ]
    title = f"{counted(len(own), 'client')} with {'an adapter' if len(own) == 1 else 'adapters'} of their own"
    return line_table(title, " ".join(part for part in parts if part), "Adapter", lines, columns)


def _everybodys(scores: Sequence[PersonalScore]) -> _Line:
    own = [score.own_loss_shared for score in scores if score.own_loss_shared is not None]
    return _Line("Everybody's adapter", own, [score.unseen_loss_shared for score in scores])


def _each_its_own(scores: Sequence[PersonalScore]) -> _Line:
    own = [score.own_loss_personal for score in scores if score.own_loss_personal is not None]
    return _Line("Each client's own", own, [score.unseen_loss_personal for score in scores])


def of_pairs(scores: Sequence[PersonalScore]) -> bool:
    """Say whether the adapters were trained on pairs of answers."""
    return any(score.of_pairs for score in scores)


def personal_result(scores: Sequence[PersonalScore], way: str) -> str:
    """Return what the clients' own adapters are worth, in a sentence; nothing where nobody has come to one.

    Parameters
    ----------
    scores : sequence of PersonalScore
        The clients that were tested.
    way : str
        How their own adapters come about: ``ditto``.
    """
    own = with_own(scores)
    if not own:
        return ""
    shared, personal = _everybodys(own), _each_its_own(own)
    tests = [
        ("their own tests", personal.own, shared.own),
        ("what nobody has seen", personal.unseen, shared.unseen),
    ]
    said = [
        f"{fixed(statistics.fmean(theirs))} on {where} (everybody's adapter: {fixed(statistics.fmean(everybodys))})"
        for where, theirs, everybodys in tests
        if theirs
    ]
    loss = "mean loss of the chosen answers" if of_pairs(own) else "mean loss"
    return (
        f"The clients' own adapters ({way}) were tested for {counted(len(own), 'client')}: their {loss} is "
        f"{' and '.join(said)}."
    )


def _shares(own: Sequence[PersonalScore]) -> str:
    """Return for how many clients the own adapter has the lower loss, in a sentence."""
    tests: list[tuple[_Change, str]] = [
        (lambda score: score.own_change, "on their own test"),
        (lambda score: score.unseen_change, "on what nobody has seen"),
    ]
    said: list[str] = []
    for change, where in tests:
        changes = [found for found in map(change, own) if found is not None]
        if changes:
            share = percent(sum(found < 0 for found in changes) / len(changes))
            said.append(f"for {share}{'' if said else ' of the clients'} {where}")
    verdict = "has the lower loss" if of_pairs(own) else "is the better one"
    return f"Its own adapter {verdict} {', and '.join(said)}." if said else ""


def _untested(scores: Sequence[PersonalScore]) -> str:
    """Return how many clients have no test of their own, in a sentence; nothing where all have one."""
    missing = sum(score.own_change is None for score in scores)
    if not missing:
        return ""
    if missing == len(scores):
        return "No client keeps examples of its own to test on (data.own_test)."
    return f"{counted(missing, 'client')} of these {'has' if missing == 1 else 'have'} too few examples for a test."


def _without_own(scores: Sequence[PersonalScore]) -> str:
    """Name those that have come to no adapter of their own, in a sentence; nothing where all have."""
    names = [score.client for score in scores if not score.has_own]
    if not names:
        return ""
    rest = f" and {whole(len(names) - _SHOWN)} more" if len(names) > _SHOWN else ""
    return (
        f"Not counted: {counted(len(names), 'client')} that never took part in a round that gives "
        f"{'it' if len(names) == 1 else 'them'} one and {'uses' if len(names) == 1 else 'use'} everybody's "
        f"({', '.join(names[:_SHOWN])}{rest})."
    )


def _spread(heading: str, values: Callable[[_Line], Sequence[float]]) -> Column[_Line]:
    def write(line: _Line) -> str:
        """Write mean and deviation."""
        return f"{fixed(statistics.fmean(values(line)))} ± {fixed(statistics.pstdev(values(line)))}"

    return Column(heading, lambda line: statistics.fmean(values(line)), write, min)


def _figure(heading: str, of: _Change, write: Callable[[float | None], str]) -> Column[_ClientLine]:
    return Column(heading, lambda line: of(line.score), lambda line: write(of(line.score)))


@dataclass(frozen=True)
class _ClientLine:
    """A client in the table of clients."""

    score: PersonalScore

    @property
    def label(self) -> str:
        """The client's name."""
        return self.score.client


def client_table(scores: Sequence[PersonalScore]) -> Table:
    """Return a line a client with an adapter of its own, those first that gain most on their own test."""
    own = with_own(scores)
    lines = [_ClientLine(score) for score in sorted(own, key=_gain)[:_SHOWN]]
    columns = [
        _figure("Trained on", lambda score: score.trained_on, whole),
        _figure("Tested on", lambda score: score.own_test, whole),
        _figure("Own test", lambda score: score.own_change, signed),
        _figure("Unseen", lambda score: score.unseen_change, signed),
        _figure("Weight, own test", lambda score: score.own_weight, fixed),
        _figure("Weight, unseen", lambda score: score.unseen_weight, fixed),
    ]
    # What nobody has is no column: an own test, or two adapters that are weighed.
    columns = [column for column in columns if any(column.value(_ClientLine(score)) for score in own)]
    hidden = len(own) - len(lines)
    lower = "has the lower loss" if of_pairs(own) else "is the better one"
    caption = f"Below zero the client's own adapter {lower}."
    if hidden:
        caption += f" {whole(hidden)} more clients are in the CSV."
    return line_table("What becomes of the loss with its own adapter", caption, "Client", lines, columns)


def _gain(score: PersonalScore) -> tuple[bool, float]:
    """Put those without a test of their own last, by what becomes of their loss on what nobody has seen."""
    change = score.own_change
    return change is None, score.unseen_change if change is None else change


def to_csv(scores: Sequence[PersonalScore]) -> str:
    """Return every client's figures, unrounded; whoever has no adapter of its own has everybody's twice."""
    return csv_text(_FIGURES, ([getattr(score, figure) for figure in _FIGURES] for score in scores))
