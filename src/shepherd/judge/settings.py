"""How a judge is asked: which model, in which form, how often, in which orders."""

from __future__ import annotations

from pydantic import Field

from shepherd.endpoint import EndpointSettings
from shepherd.judge.judgement import Form
from shepherd.settings import Settings


class JudgeSettings(Settings):
    """How a judge is asked.

    FedIT (arXiv 2305.05644, section 4) has GPT-4 rate 20 questions three times, in the form of the Vicuna project, and
    averages. It does not say in which order the answers were shown. Judges favour one of the two places, so both orders
    are asked unless told otherwise.

    Attributes
    ----------
    endpoint : EndpointSettings
        The judge, its temperature, and the most tokens of a reply.
    form : str
        ``scores`` (1 to 10 for each of two answers), ``verdict`` (the better of two) or ``single`` (1 to 10 for one).
    ratings : int
        How often the same is asked, in each order.
    swap : bool
        Whether every pair is shown in both orders; otherwise the judged model's answer comes first. Single grading
        has no order.
    retries : int
        How often a reply that cannot be read is asked for again.
    prompt : str, optional
        A file with one's own prompt; ours if None.
    """

    endpoint: EndpointSettings
    form: Form = "scores"
    ratings: int = Field(3, ge=1)
    swap: bool = True
    retries: int = Field(2, ge=0)
    prompt: str | None = None
