"""A whole study as a config: which runs, which questions, how they are answered and judged."""

from __future__ import annotations

from importlib import resources
from typing import Annotated, Literal

from pydantic import Field

from shepherd.config import read_values
from shepherd.evaluation.decoding import DecodingSettings
from shepherd.judge.judgement import Form
from shepherd.settings import Settings, checked

STUDY_PRESETS = resources.files("shepherd") / "assets" / "studies"


class QuestionSet(Settings):
    """Questions of one kind.

    Attributes
    ----------
    source : str
        ``vicuna``, ``holdout``, or a file of questions.
    counts : list of int
        Tables are made of the first so many, drawn once; of all, where nothing is said.
    """

    source: str
    counts: list[int] = []


class Judging(Settings):
    """How a judge is asked; see `shepherd.judge.settings.JudgeSettings`."""

    form: Form = "scores"
    ratings: int = Field(3, ge=1)
    swap: bool = True
    retries: int = Field(2, ge=0)
    temperature: float = Field(0.2, ge=0, le=2)
    max_tokens: int = Field(1024, ge=1)


class StudyConfig(Settings):
    """A federation against its baselines, judged.

    Attributes
    ----------
    run : str
        The federation's config: a preset, or a YAML file.
    alone_on : list of str
        Clients that train alone, each by the categories it holds, joined by ``+``.
    budget : str
        What a client alone may spend; see `shepherd.baselines.baseline_configs`.
    questions : dict of str to QuestionSet
        What the models are asked, by name.
    decoding : DecodingSettings
        How they answer.
    judging : Judging
        How the judge is asked.
    """

    run: str = "fedit-dolly"
    alone_on: list[str] = []
    budget: Literal["examples", "rounds"] = "rounds"
    questions: dict[Annotated[str, Field(pattern=r"^\w[\w.-]*$")], QuestionSet]
    decoding: DecodingSettings = DecodingSettings()
    judging: Judging = Judging()


def load_study_config(source: str) -> StudyConfig:
    """Read a study's config: a preset's name, or a YAML file.

    Raises
    ------
    ShepherdError
        For a file that is not there, or a key or value that is wrong.
    """
    return checked(StudyConfig, read_values(source, STUDY_PRESETS), source)
