"""FedIT's comparison (its Table 3 and figure 3) as data: every model on the same held-out questions.

The ratios read as FedIT's relative scores do: above 1, the first run (the federated one) is the better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from shepherd.errors import ShepherdError
from shepherd.report.fairness import Fairness
from shepherd.report.record import Record
from shepherd.report.simulated_time import common_target, hours_to, improves, simulated_hours
from shepherd.run_files import Metric
from shepherd.units import is_number


@dataclass(frozen=True)
class Row:
    """One model.

    Attributes
    ----------
    label : str
        The model's name.
    rounds, examples : int
        Rounds trained, and examples trained on with repeats counted.
    loss, perplexity, rouge_l : float
        The last evaluation: nats per response token, its exponential, and ROUGE-L from 0 to 1 if measured.
    best_loss, best_round : float, int
        The lowest loss of any evaluated round, and that round.
    relative_loss : float, optional
        This model's loss over the reference's; above 1 the reference is better.
    relative_rouge_l : float, optional
        The reference's ROUGE-L over this model's; above 1 the reference is better.
    round_seconds : float, optional
        Seconds spent in rounds; None of a model that was not trained.
    bytes_up, bytes_down : int, optional
        What the clients sent, and what they were sent; None of a baseline, which sends nothing.
    simulated_hours, hours_to_target : float, optional
        On the clock of simulated devices, all of the run, and until the comparison's `target`.
    preference_accuracy, preference_margin : float, optional
        Of the last evaluation, where pairs of answers are held out: the share whose chosen answer is preferred, and by
        how many nats.
    keeps_own_parts : bool
        Whether parts of the adapter are each client's own, so that the figures say nothing of what clients learnt.
    loss_by_category, rouge_l_by_category : dict
        The last evaluation by category of instruction.
    """

    label: str
    rounds: int
    examples: int
    loss: float
    best_loss: float
    best_round: int
    perplexity: float | None = None
    rouge_l: float | None = None
    relative_loss: float | None = None
    relative_rouge_l: float | None = None
    round_seconds: float | None = None
    bytes_up: int | None = None
    bytes_down: int | None = None
    simulated_hours: float | None = None
    hours_to_target: float | None = None
    preference_accuracy: float | None = None
    preference_margin: float | None = None
    keeps_own_parts: bool = False
    loss_by_category: dict[str, float] = field(default_factory=dict)
    rouge_l_by_category: dict[str, float] = field(default_factory=dict)

    @property
    def fairness(self) -> Fairness | None:
        """How evenly the model serves the categories."""
        return Fairness.of(self.loss_by_category)

    @property
    def worst_loss(self) -> float | None:
        """The loss of the category it does worst in."""
        return self.fairness.worst if self.fairness else None

    @property
    def loss_spread(self) -> float | None:
        """The standard deviation of the loss over the categories."""
        return self.fairness.spread if self.fairness else None


@dataclass(frozen=True)
class Comparison:
    """Models beside each other; the first row is the reference of the ratios.

    Attributes
    ----------
    rows : list of Row
        The models.
    several_bases : bool
        Whether they are tuned from different base models, whose tokens may differ.
    target : float, optional
        The lowest loss that all models on simulated devices have reached, of those that got below where they began.
    never_below : list of str
        Those on simulated devices that did not.
    """

    rows: list[Row]
    several_bases: bool = False
    target: float | None = None
    never_below: list[str] = field(default_factory=list)

    @property
    def reference(self) -> Row:
        """The row every ratio is relative to."""
        return self.rows[0]

    @property
    def categories(self) -> list[str]:
        """Every category any model was evaluated on, sorted."""
        return sorted({name for row in self.rows for name in row.loss_by_category})

    @property
    def has_rouge(self) -> bool:
        """Whether any model's answers were scored."""
        return any(row.rouge_l is not None for row in self.rows)

    @property
    def has_preferences(self) -> bool:
        """Whether any model was tested on pairs of answers."""
        return any(row.preference_accuracy is not None for row in self.rows)


def compare(records: Sequence[Record]) -> Comparison:
    """Set runs beside each other, relative to the first.

    Parameters
    ----------
    records : sequence of Record
        The reference (the federated run), then the others.

    Raises
    ------
    ShepherdError
        If there is no run, or one was evaluated on other held-out examples than the first.
    """
    if not records:
        raise ShepherdError("There is no run to compare: give at least one run directory.")
    for other in records[1:]:
        _check_same_holdout(records[0], other)
    labels = unique_labels(records)
    reference, target = records[0].final, common_target(records)
    rows = [_row(record, label, reference, target) for record, label in zip(records, labels, strict=True)]
    several_bases = len({_base(record) for record in records}) > 1
    never = [label for record, label in zip(records, labels, strict=True) if improves(record) is False]
    return Comparison(rows, several_bases, target, never)


def _check_same_holdout(reference: Record, other: Record) -> None:
    """Refuse a run that was evaluated on other examples."""
    if _holdout(reference) != _holdout(other):
        raise ShepherdError(
            f"{other.path} cannot be compared with {reference.path}: it was evaluated on another hold-out; "
            "compare runs of the same data and seed."
        )


def _holdout(record: Record) -> str | None:
    return (record.environment.get("data") or {}).get("holdout_fingerprint")


def unique_labels(records: Sequence[Record]) -> list[str]:
    """Return a name for each run, as short as tells them apart: its label, with its run's, or its path."""
    labels = [record.label for record in records]
    for longer in (_label_in_run, lambda record: str(record.path)):
        labels = [
            label if labels.count(label) == 1 else longer(record)
            for label, record in zip(labels, records, strict=True)
        ]
    return labels


def _label_in_run(record: Record) -> str:
    """Return a baseline's label behind its run's: quickstart/untuned."""
    folder = record.path.resolve().parent
    return f"{folder.parent.name}/{record.label}" if folder.name == "baselines" else record.label


def _base(record: Record) -> object:
    return (record.environment.get("base_model") or {}).get("fingerprint")


def _row(record: Record, label: str, reference: Metric, target: float | None) -> Row:
    final, best = record.final, record.best
    rouge = final.get("rouge_l")
    return Row(
        label=label,
        rounds=record.rounds,
        examples=record.examples,
        loss=final["loss"],
        best_loss=best["loss"],
        best_round=best["round"],
        perplexity=final.get("perplexity"),
        rouge_l=rouge,
        relative_loss=_ratio(final["loss"], reference["loss"]),
        relative_rouge_l=_ratio(reference.get("rouge_l"), rouge),
        round_seconds=record.round_seconds if record.scope("round") else None,
        bytes_up=record.bytes_up if record.sends else None,
        bytes_down=record.bytes_down if record.sends else None,
        simulated_hours=simulated_hours(record),
        hours_to_target=None if target is None else hours_to(record, target),
        preference_accuracy=final.get("preference_accuracy"),
        preference_margin=final.get("preference_margin"),
        keeps_own_parts=record.keeps_own_parts,
        loss_by_category=dict(final.get("loss_by_category") or {}),
        rouge_l_by_category=dict(final.get("rouge_l_by_category") or {}),
    )


def _ratio(value: float | None, unit: float | None) -> float | None:
    if value is None or unit is None or not is_number(value) or not is_number(unit) or unit == 0:
        return None
    return value / unit
