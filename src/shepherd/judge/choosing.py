"""Who is judged on which questions, and whether the judge is one of their own."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from shepherd.errors import ShepherdError
from shepherd.judge.comparisons import Comparison
from shepherd.judge.settings import JudgeSettings
from shepherd.study.answers import ModelCard
from shepherd.study.directory import Study


def chosen_models(study: Study, names: Sequence[str], reference: str | None) -> list[str]:
    """Return the labels of the models to judge: those named, or all but the reference.

    Parameters
    ----------
    study : Study
        Where they have answered.
    names : sequence of str
        Labels or paths; none for all.
    reference : str, optional
        The label of what they are judged against.

    Raises
    ------
    ShepherdError
        If there is nobody to judge, or the reference would be judged against itself.
    """
    named = list(dict.fromkeys(study.model(name) for name in names))
    if reference in named:
        raise ShepherdError(f"'{reference}' cannot be judged against itself; name another --against.")
    models = named or [label for label in study.models() if label != reference]
    if not models:
        others = f" but '{reference}'" if reference else ""
        raise ShepherdError(f"{study.path} has answers of nobody{others}; add some with `shepherd answer`.")
    return models


def comparisons(
    study: Study,
    models: Sequence[str],
    reference: str | None,
    questions: Sequence[str],
    settings: JudgeSettings,
    answered_only: bool = False,
) -> list[Comparison]:
    """Return what the judge is to be asked about.

    Parameters
    ----------
    study : Study
        The answers.
    models : sequence of str
        The labels of the models to judge.
    reference : str, optional
        What they are judged against. Single grading judges it as it does the models.
    questions : sequence of str
        The ids of the questions to judge on.
    settings : JudgeSettings
        How to ask.
    answered_only : bool
        Leave out questions that a model, or the reference, has not answered; otherwise they are refused.

    Raises
    ------
    ShepherdError
        If there is no reference where one is needed, or answers are missing.
    """
    if settings.form != "single" and reference is None:
        raise ShepherdError(f"The form {settings.form} compares two answers; name a model with --against.")
    everybody = [*models, reference] if reference is not None else list(models)
    answered = {label: study.answers(label).keys() for label in everybody}
    if not answered_only:
        _refuse_gaps(study, answered, questions)
    single = settings.form == "single"
    return [
        _comparison(study, label, "" if single else reference or "", answered, questions, settings)
        for label in (everybody if single else models)
    ]


def _comparison(
    study: Study,
    model: str,
    reference: str,
    answered: Mapping[str, Collection[str]],
    questions: Sequence[str],
    settings: JudgeSettings,
) -> Comparison:
    both = [answered[label] for label in (model, reference) if label]
    common = tuple(id for id in questions if all(id in ids for ids in both))
    if not common:
        who = f"'{model}' and '{reference}'" if reference else f"'{model}'"
        raise ShepherdError(f"{study.path} has no question that {who} answered; see `shepherd answer`.")
    return Comparison(
        form=settings.form,
        model=model,
        reference=reference,
        questions=common,
        ratings=settings.ratings,
        swap=settings.swap and settings.form != "single",
    )


def _refuse_gaps(study: Study, answered: Mapping[str, Collection[str]], questions: Sequence[str]) -> None:
    gaps = {label: sum(id not in ids for id in questions) for label, ids in answered.items()}
    missing = {label: gap for label, gap in gaps.items() if gap}
    if missing:
        listed = ", ".join(f"{gap} by '{label}'" for label, gap in missing.items())
        sources = " ".join(_asked_as(study.card(label)) for label in missing)
        raise ShepherdError(
            f"Of {len(questions)} questions some are not answered yet ({listed}); complete them with "
            f"`shepherd answer {sources} --study {study.path}` and the settings they were asked with before, or judge "
            "what is there with --answered-only."
        )


def _asked_as(card: ModelCard) -> str:
    """Return what `shepherd answer` is to be given for a model, so that it has the name it has."""
    from shepherd.study.sources import ENDPOINT  # takes torch with it

    return f"{card.label}={ENDPOINT if card.kind == 'endpoint' else ''}{card.source}"


def kinship(cards: Sequence[ModelCard], judge: str) -> str | None:
    """Return a warning where the judge is of the same family as a model it judges; else None.

    Parameters
    ----------
    cards : sequence of ModelCard
        Everybody whose answers are shown.
    judge : str
        The judging model's name.
    """
    kin = [f"'{card.label}'" for card in cards if family(judge) and family(judge) in _families(card)]
    if not kin:
        return None
    return f"The judge {judge} is of the same family as {', '.join(kin)}: judges favour their own."


def family(model: str) -> str:
    """Return what a model's name begins with, in small letters: `llama` of ``meta-llama/Llama-3.1-8B``."""
    last = model.rstrip("/").rpartition("/")[2]
    found = re.match(r"[a-z]+", last.lower())
    return found[0] if found else ""


def _families(card: ModelCard) -> set[str]:
    """Return the families a model is of; the name of a run or an adapter says nothing about it."""
    names = [card.base, card.source if card.kind in ("endpoint", "model") else None]
    return {family(name) for name in names if name}
