"""A judge's results in pictures: every figure where it belongs, nothing cut off, any label harmless."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from shepherd.judge.model_result import JudgeResults, ModelResult, QuestionResult
from shepherd.report.judge_figures import length_figure, relative_scores_figure, win_rates_figure
from shepherd.statistics.bootstrap import UNKNOWN, Interval

STRANGE = [
    "_a$b$",
    "模型",
    "alone-classification-and-brainstorming-of-somebody-else-altogether",
    "two\nlines",
]


def _model(label: str, score: float = 1.1, **figures: Any) -> ModelResult:
    relative = Interval(score, score - 0.1, score + 0.1)
    questions = {
        f"q{k}": QuestionResult("a", 6.0 + k % 3, 6.5, 0.5, 50 + 3 * k, 60, 300, 350) for k in range(12)
    }
    known: dict[str, Any] = {
        **{"label": label, "reference": "ChatGPT", "questions": 12, "ratings": 72, "unreadable": 0},
        **{"model_sum": 80.0, "reference_sum": 72.0, "model_over_reference": relative},
        **{"reference_over_model": relative.inverse, "wins": 6, "ties": 4, "losses": 2},
        **{"win_rate": Interval(8 / 12, 0.5, 0.8), "length_controlled": None, "words": 66.0},
        **{"reference_words": 60.0, "position_bias": None, "self_agreement": None, "by_category": {}},
        **{"inside_noise": not relative.excludes(1), "mean": Interval(6.7, 6.1, 7.2)},
        **{"by_question": questions},
    }
    return ModelResult(**{**known, **figures})


def _results(*models: ModelResult, form: Any = "scores", reference: str = "ChatGPT") -> JudgeResults:
    return JudgeResults("gpt-4o", form, reference, list(models), [], 12)


def _axes(figure: Figure | None) -> Axes:
    assert figure is not None
    return figure.axes[0]


def _labels(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def _is_whole(figure: Figure) -> bool:
    """Say whether everything drawn lies within the picture, give or take a pixel."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = figure.get_tightbbox(canvas.get_renderer())
    width, height = figure.get_size_inches()
    return drawn.x0 > -0.02 and drawn.y0 > -0.02 and drawn.x1 < width + 0.02 and drawn.y1 < height + 0.02


def test_relative_scores_stand_in_order_beside_the_line_at_1() -> None:
    models = [_model("untuned", 0.8), _model("federated", 1.2), _model("centralised", 1.05)]
    axes = _axes(relative_scores_figure(_results(*models)))
    assert _labels(axes) == ["federated", "centralised", "untuned"]
    dots = [line for line in axes.get_lines() if line.get_marker() == "o"]
    assert [dot.get_xdata()[0] for dot in dots] == [1.2, 1.05, 0.8]
    assert [dot.get_markerfacecolor() == "white" for dot in dots] == [False, True, False]
    whiskers = [line.get_xdata() for line in axes.get_lines() if line.get_marker() == "None"]
    assert [list(ends) for ends in whiskers[:3]] == [
        pytest.approx([x - 0.1, x + 0.1]) for x in (1.2, 1.05, 0.8)
    ]
    assert list(whiskers[3]) == [1, 1]
    assert "relative to ChatGPT" in axes.get_xlabel()
    assert [text.get_text() for text in axes.texts] == ["1.200", "1.050", "0.800"]


def test_grades_without_a_reference_are_drawn_as_they_are() -> None:
    axes = _axes(relative_scores_figure(_results(_model("untuned"), form="single", reference="")))
    assert "mean grade by gpt-4o" in axes.get_xlabel()
    assert axes.texts[0].get_text() == "6.700"


def test_shares_of_wins_ties_and_losses_fill_a_bar() -> None:
    axes = _axes(win_rates_figure(_results(_model("untuned"))))
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([6 / 12, 4 / 12, 2 / 12])
    assert axes.texts[0].get_text() == "67 %"


def test_lengths_have_a_panel_for_each_model() -> None:
    figure = length_figure(_results(*(_model(label) for label in "abcdefgh")))
    assert figure is not None
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert len(shown) == 6
    points = shown[0].collections[0].get_offsets()
    assert [tuple(map(float, point)) for point in points][:2] == [(-10, -0.5), (-7, 0.5)]
    assert shown[0].get_title(loc="left").startswith("a\nr = ")
    pair = length_figure(_results(*(_model(label) for label in "abcd")))
    assert pair is not None
    assert sum(axes.get_visible() for axes in pair.axes) == 4


def test_there_is_no_picture_of_what_was_not_asked() -> None:
    verdicts = _model("untuned", model_over_reference=UNKNOWN, by_question={})
    assert relative_scores_figure(_results(verdicts, form="verdict")) is None
    assert length_figure(_results(verdicts, form="verdict")) is None
    assert win_rates_figure(_results(_model("a", win_rate=UNKNOWN), form="single", reference="")) is None
    assert relative_scores_figure(_results()) is None


def test_one_question_and_equal_lengths_are_drawn_without_what_they_lack() -> None:
    question = QuestionResult("a", 6.0, 6.5, 0.5, 50, 60, 300, 350)
    lone = _model("a", model_over_reference=Interval(1.1, math.nan, math.nan), by_question={"q": question})
    axes = _axes(relative_scores_figure(_results(lone)))
    assert [list(line.get_xdata()) for line in axes.get_lines()] == [[1.1], [1, 1]]
    assert _axes(length_figure(_results(lone))).get_title(loc="left") == "a"


@pytest.mark.filterwarnings("ignore:.*[Gg]lyph.*")
@pytest.mark.parametrize("draw", [relative_scores_figure, win_rates_figure, length_figure])
@pytest.mark.parametrize("labels", [["a"], STRANGE, [f"model-{k}" for k in range(30)]])
def test_nothing_is_cut_off(draw: Any, labels: list[str]) -> None:
    figure = draw(_results(*(_model(label, 0.8 + k / 20) for k, label in enumerate(labels))))
    assert _is_whole(figure)
    figure.savefig(io.BytesIO(), format="svg")
