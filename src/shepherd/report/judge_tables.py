"""A judge's results written out: FedIT's Table 3, wins, what the judge is worth, and a spreadsheet's lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

from rich.table import Table

from shepherd.judge.model_result import JudgeResults, ModelResult
from shepherd.report.intervals import NOISE, with_ends
from shepherd.report.tables import Column, csv_text, line_table
from shepherd.statistics.bootstrap import Interval, corrected
from shepherd.units import fixed, is_number, percent, signed, whole

_INTERVALS = "In brackets: 95\N{NO-BREAK SPACE}% intervals over questions and ratings."


def result_tables(results: JudgeResults) -> list[Table]:
    """Return the results as tables.

    Scores as in FedIT's Table 3, if the judge gave any; wins, if there is a reference; what the judge is worth; and,
    where questions have categories, the models by category. What they do not show, `results.notes` says.
    """
    if not results.models:
        return []
    tables = []
    if any(model.has_scores for model in results.models):
        tables.append(score_table(results) if results.reference else grade_table(results))
    if results.reference:
        tables.append(win_table(results))
    tables.append(judge_table(results))
    if len(_categories(results)) > 1:
        tables.append(category_table(results))
    return tables


def score_table(results: JudgeResults) -> Table:
    """Return FedIT's Table 3: sums over the questions, and the reference's relative score."""
    noise = inside_noise(results)
    columns: list[Column[ModelResult]] = [
        _number("Questions", lambda model: model.questions, whole),
        _number("Sum", lambda model: model.model_sum, _tenths, max),
        _number("Reference", lambda model: model.reference_sum, _tenths),
        _span("Reference / model", lambda model: model.reference_over_model),
        _span("Model / reference", lambda model: model.model_over_reference, max),
        Column("", lambda model: None, lambda model: NOISE if model.label in noise else ""),
    ]
    how = "single grades" if results.form == "single" else "scores beside the reference's"
    caption = (
        f"Sums of mean scores, 1 to 10 a question ({how}). Reference: {results.reference}. {_INTERVALS} "
        f"{NOISE}: inside the noise{_correction(results)}, nothing can be said about who is better."
    )
    return line_table(f"Scores given by {results.judge}", caption, "Model", results.models, columns)


def inside_noise(results: JudgeResults) -> set[str]:
    """Return the models of which the scores do not say whether they or the reference are better.

    They are looked at together, so the p-values of their differences are corrected for how many there are (Holm);
    a ratio of scores is on the other side of 1 in the same draws as the difference on that of 0.
    """
    together = corrected([model.difference for model in results.models])
    known = zip(results.models, together, strict=True)
    return {
        model.label
        for model, difference in known
        if model.inside_noise or (is_number(difference.p_value) and difference.is_noise)
    }


def _correction(results: JudgeResults) -> str:
    """Say what `inside_noise` has corrected for, where there are several models."""
    compared = sum(is_number(model.difference.p_value) for model in results.models)
    return f" (corrected for {compared} models by Holm's step-down)" if compared > 1 else ""


def grade_table(results: JudgeResults) -> Table:
    """Return single grades of models that nothing is compared with."""
    columns: list[Column[ModelResult]] = [
        _number("Questions", lambda model: model.questions, whole),
        _number("Sum", lambda model: model.model_sum, _tenths, max),
        _span("Mean grade", lambda model: model.mean, max),
        _number("Words", lambda model: model.words, whole),
    ]
    caption = f"Mean grades, 1 to 10 a question. {_INTERVALS}"
    return line_table(f"Grades given by {results.judge}", caption, "Model", results.models, columns)


def win_table(results: JudgeResults) -> Table:
    """Return on how many questions each model wins, and what is left of that at equal lengths."""
    columns: list[Column[ModelResult]] = [
        _number("Win", lambda model: model.wins, whole),
        _number("Tie", lambda model: model.ties, whole),
        _number("Loss", lambda model: model.losses, whole),
        _span("Win rate (%)", lambda model: model.win_rate, max, _percents),
        _span("At equal length (%)", lambda model: model.length_controlled, max, _percents),
        _number("Words", lambda model: model.words, whole),
        _number("Reference's", lambda model: model.reference_words, whole),
    ]
    rule = " A question is won if both orders of the answers say so." if results.form != "single" else ""
    caption = (
        f"Questions against {results.reference}.{rule} Win rate: wins and half the ties; at equal length: what it "
        "would be if the answers were equally long. Words: of an answer, on average."
    )
    return line_table(f"Wins, as {results.judge} sees them", caption, "Model", results.models, columns)


def judge_table(results: JudgeResults) -> Table:
    """Return what the judge itself is worth."""
    columns: list[Column[ModelResult]] = [
        _number("Ratings", lambda model: model.ratings, whole),
        _number("Unreadable", lambda model: model.unreadable, whole),
    ]
    caption = "Ratings: replies that could be read."
    if results.form != "single":
        unit = "share of ratings" if results.form == "verdict" else "points"
        columns += [
            _number("Same winner again", lambda model: model.self_agreement, percent),
            _number("Orders agree", lambda model: model.swap_consistency, percent),
            _span("First place", lambda model: model.position_bias, None, _signed),
        ]
        caption += (
            " Same winner again: of pairs of ratings of the same question in the same order."
            " Orders agree: of the questions, on the winner. First place: what being shown first is worth "
            f"({unit}), which both orders together cancel."
        )
    return line_table(f"The judge: {results.judge}", caption, "Model", results.models, columns)


@dataclass(frozen=True)
class _Category:
    """A line of the table by category: its name."""

    label: str


def category_table(results: JudgeResults, by: str = "category") -> Table:
    """Return the models by category: score less the reference's, or grade, or win rate; a line per category.

    Parameters
    ----------
    results : JudgeResults
        The results.
    by : str
        What the categories of `results` are called.
    """
    columns = [_category_column(results, model) for model in results.models]
    unit = "Win rate in %" if results.form == "verdict" else "Mean score, 1 to 10"
    if results.form != "verdict" and results.reference:
        unit = f"Mean score less that of {results.reference}, in points"
    lines = [_Category(name) for name in _categories(results)]
    return line_table(f"By {by}", f"{unit}.", by.capitalize(), lines, columns)


def _category_column(results: JudgeResults, model: ModelResult) -> Column[_Category]:
    """Return one model's column."""

    def value(line: _Category) -> float | None:
        """Return the model's figure in a category: a difference, a grade, or a win rate in percent."""
        own, other = model.by_category.get(line.label, (None, None))
        if own is None or other is None or not is_number(own):
            return None
        if results.form == "verdict":
            return 100 * own
        return own - other if results.reference else own

    digits = 0 if results.form == "verdict" else 2
    write = signed if results.reference and results.form != "verdict" else fixed
    return Column(model.label, value, lambda line: write(value(line), digits))


def _categories(results: JudgeResults) -> list[str]:
    return sorted({name for model in results.models for name in model.by_category})


def _number(
    heading: str,
    value: Callable[[ModelResult], float | None],
    write: Callable[[float | None], str],
    best: Callable[..., float] | None = None,
) -> Column[ModelResult]:
    """Return a column of plain numbers."""
    return Column(heading, value, lambda model: write(value(model)), best)


def _span(
    heading: str,
    value: Callable[[ModelResult], Interval | None],
    best: Callable[..., float] | None = None,
    write: Callable[[Interval], str] | None = None,
) -> Column[ModelResult]:
    """Return a column of figures with the ends of their intervals."""

    def estimate(model: ModelResult) -> float | None:
        """Return the figure that decides which model is best."""
        interval = value(model)
        return None if interval is None else interval.estimate

    def text(model: ModelResult) -> str:
        """Return the figure with its ends; a dash where there is none."""
        interval = value(model)
        return fixed(None) if interval is None else (write or _decimals)(interval)

    return Column(heading, estimate, text, best)


def _tenths(value: float | None) -> str:
    return fixed(value, 1)


def _decimals(interval: Interval) -> str:
    return with_ends(interval, to="–")


def _percents(interval: Interval) -> str:
    return with_ends(interval, lambda value: fixed(100 * value, 0), "–")


def _signed(interval: Interval) -> str:
    return with_ends(interval, lambda value: signed(value, 2))


def to_csv(results: JudgeResults) -> str:
    """Return every figure, one line per model, unrounded; empty where there is none.

    An interval has three columns, and a category two: of the model and of the reference.
    """
    names = [one.name for one in fields(ModelResult) if one.name not in ("by_category", "by_question")]
    spans = [name for name in names if any(isinstance(getattr(m, name), Interval) for m in results.models)]
    headings = ["judge", "form"]
    for name in names:
        headings += [name, f"{name}_low", f"{name}_high"] if name in spans else [name]
    categories = _categories(results)
    headings += [f"{who}[{name}]" for name in categories for who in ("score", "reference_score")]
    lines = ([results.judge, results.form, *_csv_line(m, names, spans, categories)] for m in results.models)
    return csv_text(headings, lines)


def _csv_line(
    model: ModelResult, names: Sequence[str], spans: Sequence[str], categories: Sequence[str]
) -> Iterator[object]:
    for name in names:
        value = getattr(model, name)
        if name in spans:
            ends = (value.estimate, value.low, value.high) if value else (None, None, None)
            yield from map(_known, ends)
        else:
            yield _known(value)
    for category in categories:
        yield from map(_known, model.by_category.get(category, (None, None)))


def _known(value: object) -> object:
    return None if isinstance(value, float) and not is_number(value) else value
