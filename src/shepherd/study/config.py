"""A whole study as a config: which runs, which questions, how they are answered and judged."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from shepherd.config import read_values
from shepherd.endpoint import EndpointSettings
from shepherd.evaluation.decoding import DecodingSettings
from shepherd.files import named_as_folder
from shepherd.judge.judgement import Form
from shepherd.judge.settings import JudgeSettings
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

    source: str = Field(examples=["vicuna"])
    counts: list[int] = []


class Judging(Settings):
    """How a judge is asked; see `shepherd.judge.settings.JudgeSettings`."""

    form: Form = "scores"
    ratings: int = Field(3, ge=1)
    swap: bool = True
    retries: int = Field(2, ge=0)
    temperature: float = Field(0.2, ge=0, le=2)
    max_tokens: int = Field(1024, ge=1)


class JudgeSection(Judging, EndpointSettings):
    """A judge, and how it is asked: the fields of `EndpointSettings` and of `JudgeSettings` side by side."""

    prompt: str | None = None

    def settings(self) -> JudgeSettings:
        """Return how this judge is asked."""
        values = self.model_dump()
        endpoint = {name: values.pop(name) for name in EndpointSettings.model_fields}
        return JudgeSettings.model_validate({"endpoint": endpoint, **values})


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
        How a judge is asked that the command line names.
    judge : JudgeSection, optional
        The judge; then all that is said of it is said here.
    """

    run: str = "fedit-dolly"
    alone_on: list[str] = []
    budget: Literal["examples", "rounds"] = "rounds"
    questions: dict[Annotated[str, AfterValidator(named_as_folder)], QuestionSet]
    decoding: DecodingSettings = DecodingSettings()
    judging: Judging = Judging()
    judge: JudgeSection | None = None

    @model_validator(mode="after")
    def _says_it_once(self) -> Self:
        if self.judge is not None and "judging" in self.model_fields_set:
            raise ValueError("there are 'judge' and 'judging'; write all of it into 'judge'")
        return self


def judge_settings(config: StudyConfig, said: Mapping[str, Any]) -> JudgeSettings | None:
    """Return the judge that a study has and how it is asked; None if nobody judges.

    Parameters
    ----------
    config : StudyConfig
        The study.
    said : mapping
        What the command line says, by the names of `JudgeSection`'s fields; it holds, and None says nothing.

    Raises
    ------
    ShepherdError
        If a value cannot be.
    """
    known = (
        config.judging.model_dump() if config.judge is None else config.judge.model_dump(exclude_unset=True)
    )
    values = known | {name: value for name, value in said.items() if value is not None}
    if values.get("model") is None:
        return None
    return checked(JudgeSection, values, "The judge cannot be asked like this").settings()


def load_study_config(source: str) -> StudyConfig:
    """Read a study's config: a preset's name, or a YAML file.

    Raises
    ------
    ShepherdError
        For a file that is not there, or a key or value that is wrong.
    """
    return checked(StudyConfig, read_values(source, STUDY_PRESETS), source)
