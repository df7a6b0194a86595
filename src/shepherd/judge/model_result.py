"""What a judge's ratings come to: of one question, of one model, and of all models together."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from shepherd.judge.judgement import Form
from shepherd.statistics.bootstrap import UNKNOWN, Interval


@dataclass(frozen=True)
class QuestionResult:
    """What the judge made of one model's answer to one question.

    Attributes
    ----------
    category : str
        The question's kind; ``""`` where nothing is said.
    score, reference_score : float
        Mean scores, 1 to 10: over the readable ratings of each order, then over the orders. NaN where there are none.
    preference : float
        1 for a win of the model, 0 for a loss, 0.5 for a tie; NaN where there is nothing to compare with.
    words, reference_words : int, optional
        Words of the two answers; None of an answer that is not there.
    characters, reference_characters : int, optional
        Their letters, spaces and signs.
    """

    category: str
    score: float
    reference_score: float
    preference: float
    words: int | None = None
    reference_words: int | None = None
    characters: int | None = None
    reference_characters: int | None = None


@dataclass(frozen=True)
class ModelResult:
    """One model against the reference, as one judge sees it.

    Attributes
    ----------
    label, reference : str
        The model, and what it is judged against; the latter is ``""`` in single grading without a reference.
    questions : int
        Questions with a readable rating; all figures are of these.
    ratings, unreadable : int
        Replies that could be read, and that could not.
    model_sum, reference_sum : float
        Sums over the questions of the mean score, as in FedIT's Table 3; NaN where the judge gave verdicts.
    reference_over_model : Interval
        Table 3's relative score: above 1 the reference is the better one.
    model_over_reference : Interval
        Figure 3's relative score: above 1 the model is the better one.
    wins, ties, losses : int
        Questions by who is better, both orders agreeing.
    win_rate : Interval
        (wins + ties / 2) / questions, the adjusted win rate, 0 to 1.
    length_controlled : Interval, optional
        The win rate if both answers were of the same length, 0 to 1; None where that cannot be told.
    words, reference_words : float
        Mean words of an answer.
    position_bias : Interval, optional
        What the place is worth: the score of the answer shown first less that of the one shown second, over both
        orders; of verdicts, the share for the first less the share for the second. None with one order.
    self_agreement : float, optional
        Of the pairs of ratings of one question in one order, the share that names the same winner; None without pairs,
        and of single grades.
    by_category : dict of str to (float, float)
        Mean score of the model and of the reference; of verdicts, the adjusted win rate of each.
    inside_noise : bool
        Whether the interval of the relative score holds 1 (of verdicts: of the win rate, 1/2), or there are fewer than
        6 questions, so that nothing can be said about who is better.
    swap_consistency : float, optional
        Of the questions judged in both orders, the share on which both name the same winner.
    mean, reference_mean : Interval
        Mean score of a question, 1 to 10.
    difference : Interval
        Mean score of the model less that of the reference.
    one_order : int
        Questions that count with one order only.
    no_length_control : str
        Why there is no length-controlled win rate, in words that follow "because"; ``""`` where there is one.
    by_question : dict of str to QuestionResult
        Every question that counts, by its id.
    """

    label: str
    reference: str
    questions: int
    ratings: int
    unreadable: int
    model_sum: float
    reference_sum: float
    reference_over_model: Interval
    model_over_reference: Interval
    wins: int
    ties: int
    losses: int
    win_rate: Interval
    length_controlled: Interval | None
    words: float
    reference_words: float
    position_bias: Interval | None
    self_agreement: float | None
    by_category: dict[str, tuple[float, float]]
    inside_noise: bool
    swap_consistency: float | None = None
    mean: Interval = UNKNOWN
    reference_mean: Interval = UNKNOWN
    difference: Interval = UNKNOWN
    one_order: int = 0
    no_length_control: str = ""
    by_question: dict[str, QuestionResult] = field(default_factory=dict)

    @property
    def has_scores(self) -> bool:
        """Whether the judge gave scores, not only verdicts."""
        return not math.isnan(self.model_sum)


@dataclass(frozen=True)
class JudgeResults:
    """Everything one judge's ratings of one form come to.

    Attributes
    ----------
    judge : str
        The judge's name.
    form : str
        How it was asked: ``scores``, ``verdict`` or ``single``.
    reference : str
        What every model is judged against; ``""`` in single grading without a reference.
    models : list of ModelResult
        The models, in the order they were asked for; without those of which no reply could be read.
    notes : list of str
        What a reader must know to trust the figures, a sentence or two each.
    questions : int
        Questions of the study that were looked at.
    """

    judge: str
    form: Form
    reference: str
    models: list[ModelResult]
    notes: list[str] = field(default_factory=list)
    questions: int = 0
