"""What a reader must know to trust a judge's figures, in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from shepherd.judge.judgement import Form
from shepherd.judge.model_result import ModelResult
from shepherd.judge.one_result import FEWEST_TOLD
from shepherd.study.answers import ModelCard
from shepherd.units import counted

#: Questions below which a study is called small.
FEW = 300
#: A length-controlled win rate this far from the raw one is pointed out (AlpacaEval 2 does so, too).
LENGTH_MATTERS = 0.1


def notes(form: Form, models: Sequence[ModelResult], questions: int, cards: Sequence[ModelCard]) -> list[str]:
    """Return the notes.

    Parameters
    ----------
    form : {"scores", "verdict", "single"}
        How the judge was asked.
    models : sequence of ModelResult
        The results, also of models of which no reply could be read.
    questions : int
        Questions of the study that were looked at.
    cards : sequence of ModelCard
        Of the models and the reference, those there are.
    """
    heard = [model for model in models if model.ratings]
    found = [*_few(form, heard), *_missing(heard, questions), *_silent(models), *_unreadable(models)]
    found += [*_orders(form, heard), *_place(form, heard), *_lengths(heard), *_no_lengths(heard)]
    return [*found, *_bases(cards)]


def _few(form: Form, models: Sequence[ModelResult]) -> Iterator[str]:
    most = max((model.questions for model in models), default=0)
    if most == 0 or most >= FEW:
        return
    relative = form != "verdict" and any(_is_known(model.model_over_reference.half_width) for model in models)
    spans = [model.model_over_reference if relative else model.win_rate for model in models]
    widths = [span.half_width for span in spans if _is_known(span.half_width)]
    few = f"{counted(most, 'question')} {'is' if most == 1 else 'are'} few (FedIT asked 20)"
    if most < FEWEST_TOLD and widths:
        yield f"{few}: chance alone makes so few agree, so everything is inside the noise."
    elif not widths:
        yield f"{few}."
    elif relative:
        yield f"{few}: a relative score within about {max(widths):.3f} of 1 is noise."
    else:
        yield f"{few}: a win rate within about {100 * max(widths):.0f} points of 50 % is noise."


def _missing(models: Sequence[ModelResult], questions: int) -> Iterator[str]:
    short = [f"{m.label} {m.questions}" for m in models if m.questions < questions]
    if short:
        asked = counted(questions, "question")
        yield f"Not all of the {asked} count, and sums are over those that do: {', '.join(short)}."


def _silent(models: Sequence[ModelResult]) -> Iterator[str]:
    silent = [model.label for model in models if not model.ratings]
    if silent:
        yield f"No figures of {', '.join(silent)}: the judge gave no reply on them that could be read."


def _unreadable(models: Sequence[ModelResult]) -> Iterator[str]:
    lost, said = sum(model.unreadable for model in models), sum(model.ratings for model in models)
    if lost:
        whose = ", ".join(f"{model.label} {model.unreadable}" for model in models if model.unreadable)
        count = "does not count" if lost == 1 else "do not count"
        yield f"{lost:,} of {counted(lost + said, 'rating')} could not be read and {count}: {whose}."


def _orders(form: Form, models: Sequence[ModelResult]) -> Iterator[str]:
    single = [model for model in models if model.one_order]
    if form == "single" or not single:
        return
    if all(model.one_order == model.questions for model in models):
        yield "Each pair was shown in one order only: what the place is worth to the judge is in the scores."
        return
    whose = ", ".join(f"{model.label} {model.one_order}" for model in single)
    yield f"Questions that count with one order only, as the other was not asked or could not be read: {whose}."


def _place(form: Form, models: Sequence[ModelResult]) -> Iterator[str]:
    biased = [m.position_bias.estimate for m in models if m.position_bias and m.position_bias.excludes(0)]
    if biased:
        unit = "of the ratings" if form == "verdict" else "points"
        span = " to ".join(dict.fromkeys(f"{end:+.2f}" for end in (min(biased), max(biased))))
        yield f"The place sways the judge: being shown first is worth {span} {unit}; both orders together cancel it."


def _lengths(models: Sequence[ModelResult]) -> Iterator[str]:
    for model in models:
        if model.length_controlled is None:
            continue
        raw, controlled = model.win_rate.estimate, model.length_controlled.estimate
        if abs(raw - controlled) > LENGTH_MATTERS:
            longer = "longer" if model.words > model.reference_words else "shorter"
            yield (
                f"{model.label} wins {100 * raw:.0f} %, and would win {100 * controlled:.0f} % with answers as long as "
                f"the reference's; its own are {longer} ({model.words:.0f} words against {model.reference_words:.0f})."
            )


def _no_lengths(models: Sequence[ModelResult]) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for model in models:
        if model.no_length_control:
            reasons.setdefault(model.no_length_control, []).append(model.label)
    for reason, labels in reasons.items():
        yield f"No length-controlled win rate of {', '.join(labels)}, because {reason}."


def _bases(cards: Sequence[ModelCard]) -> Iterator[str]:
    bases = {card.base_fingerprint: card.base or card.source for card in cards if card.base_fingerprint}
    if len(bases) > 1:
        yield f"The models have different base models ({', '.join(sorted(map(str, bases.values())))})."


def _is_known(value: float) -> bool:
    return not math.isnan(value)
