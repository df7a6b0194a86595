"""What a judge was asked, on disk: its settings and prompts, from which its replies can be read again.

One judge has one way of judging. Whatever would change what it says (model, temperature, prompt) must be the same in
every call, so that its judgements compare; where it was reached and what it cost may change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from shepherd.errors import ShepherdError, first_line
from shepherd.files import write_atomically, write_json
from shepherd.judge.comparisons import Comparison, joined
from shepherd.judge.judgement import Form
from shepherd.judge.prompts import JudgePrompt, parse_prompt
from shepherd.judge.settings import JudgeSettings
from shepherd.settings import Settings, checked
from shepherd.study.directory import Study

_ONE_WAY = ("model", "temperature", "max_tokens", "retries")


class Record(Settings):
    """A judge's `settings.json`.

    Attributes
    ----------
    model : str
        The judge's name at its server.
    temperature, max_tokens, retries
        As in `EndpointSettings` and `JudgeSettings`.
    temperature_accepted : bool
        False where a server refused to be told the temperature, and the judge used its own.
    addresses : tuple of str
        The servers it was reached at; there is never a key among them.
    price_in, price_out : float, optional
        USD per million tokens, as last said.
    prompts : dict of str to str
        Every form's prompt by its SHA-256; its text is `prompt-<form>.txt` beside this.
    comparisons : tuple of Comparison
        Everything it was asked to judge.
    """

    model: str
    temperature: float
    max_tokens: int
    retries: int
    temperature_accepted: bool = True
    addresses: tuple[str, ...]
    price_in: float | None = None
    price_out: float | None = None
    prompts: dict[Form, str]
    comparisons: tuple[Comparison, ...]


def read_record(study: Study, judge: str) -> Record:
    """Return what a judge was asked.

    Raises
    ------
    ShepherdError
        If there is no such judge, or its settings are damaged.
    """
    path = study.judge_path(judge) / "settings.json"
    return checked(Record, study.judge_settings(judge), f"{path} is damaged")


def planned(
    study: Study,
    judge: str,
    settings: JudgeSettings,
    prompt: JudgePrompt,
    comparisons: Sequence[Comparison],
) -> Record:
    """Return the judge's record with these comparisons added; nothing is written.

    Raises
    ------
    ShepherdError
        If this judge was asked in another way before.
    """
    endpoint = settings.endpoint
    new = Record(
        model=endpoint.model,
        temperature=endpoint.temperature,
        max_tokens=endpoint.max_tokens,
        retries=settings.retries,
        addresses=(endpoint.url,),
        price_in=endpoint.price_in,
        price_out=endpoint.price_out,
        prompts={prompt.form: prompt.fingerprint},
        comparisons=tuple(comparisons),
    )
    if not (study.judge_path(judge) / "settings.json").is_file():
        return new
    old = read_record(study, judge)
    _refuse_another_way(study, judge, old, new)
    return new.model_copy(
        update={
            "addresses": tuple(dict.fromkeys((*old.addresses, *new.addresses))),
            "price_in": new.price_in if new.price_in is not None else old.price_in,
            "price_out": new.price_out if new.price_out is not None else old.price_out,
            "prompts": old.prompts | new.prompts,
            "comparisons": tuple(joined(old.comparisons, comparisons)),
        }
    )


def _refuse_another_way(study: Study, judge: str, old: Record, new: Record) -> None:
    advice = "its judgements would not compare; choose another --judge-name."
    for field in _ONE_WAY:
        before, now = getattr(old, field), getattr(new, field)
        if before != now:
            what = field.replace("_", " ")
            raise ShepherdError(f"Judge {judge} of {study.path} has the {what} {before}, not {now}: {advice}")
    for form, fingerprint in new.prompts.items():
        if old.prompts.get(form, fingerprint) != fingerprint:
            raise ShepherdError(f"Judge {judge} of {study.path} has another prompt for {form}: {advice}")


def write_record(study: Study, judge: str, record: Record, prompt: JudgePrompt) -> None:
    """Write the judge's settings and the prompt it is now asked with."""
    write_atomically(_prompt_path(study, judge, prompt.form), prompt.text)
    write_json(study.judge_path(judge) / "settings.json", record.model_dump(mode="json"))


def read_prompts(study: Study, judge: str, fingerprints: Mapping[Form, str]) -> dict[Form, JudgePrompt]:
    """Return the prompts of these fingerprints, which a judge was asked with.

    Raises
    ------
    ShepherdError
        If one is missing, or is not the one that the settings name.
    """
    prompts = {}
    for form, fingerprint in fingerprints.items():
        path = _prompt_path(study, judge, form)
        try:
            prompt = parse_prompt(form, path.read_text(encoding="utf-8"), f"the prompt {path}")
        except (OSError, UnicodeDecodeError) as error:
            raise ShepherdError(f"{path} cannot be read ({first_line(error)}); restore it.") from error
        if prompt.fingerprint != fingerprint:
            raise ShepherdError(f"{path} is not the prompt that the judge was asked with; restore it.")
        prompts[form] = prompt
    return prompts


def _prompt_path(study: Study, judge: str, form: Form) -> Path:
    return study.judge_path(judge) / f"prompt-{form}.txt"
