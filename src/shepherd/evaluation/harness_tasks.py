"""A local file as a task of the lm-evaluation-harness: multiple choice, or free answers; nothing is downloaded.

Rows of multiple choice are ``{"question": …, "choices": [… ], "answer": …}``, the answer being the right choice's
number, from 0, or its text; rows of free answers are ``{"question": …, "answer": …}``, the answer a text or a list of
acceptable ones. ``instruction`` and ``response`` mean the same as ``question`` and ``answer``; ``context`` or ``input``
is the text that is asked about.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shepherd.data.reading import Row, ending, kind, read_rows
from shepherd.errors import ShepherdError
from shepherd.evaluation.of_texts import OF_TEXTS

#: From an instruction and its context to the text that a model is shown.
Render = Callable[[str, str], str]
_QUESTION, _ANSWER, _CONTEXT = ("question", "instruction"), ("answer", "response"), ("context", "input")


@dataclass(frozen=True)
class TaskFile:
    """A task read from a file, and checked.

    Attributes
    ----------
    name : str
        The file's name without its ending.
    rows : list of dict
        ``question``, ``context``, ``choices`` and ``answers``: the right choice's number, or the acceptable texts.
    multiple_choice : bool
        Whether there are choices.
    fingerprint : str
        SHA-256 of the rows, in hex.
    """

    name: str
    rows: list[dict[str, Any]]
    multiple_choice: bool
    fingerprint: str

    def task(self, render: Render | None, max_new_tokens: int) -> Any:
        """Return the task for `lm_eval.simple_evaluate`.

        Parameters
        ----------
        render : callable, optional
            The prompt's template; without one the question stands as it is, and a space before the answer.
        max_new_tokens : int
            Longest free answer.
        """
        from datasets import Dataset
        from lm_eval.api.task import ConfigurableTask

        texts = [_shown(row, render) for row in self.rows]
        table = Dataset.from_list(
            [{**row, "shown": text} for row, text in zip(self.rows, texts, strict=True)]
        )
        common = {
            "task": self.name,
            "custom_dataset": lambda **_: {"test": table},
            "test_split": "test",
            "fewshot_split": "test",  # lm-eval leaves the question itself out of its examples
            "doc_to_text": "shown",
            "target_delimiter": "" if render else " ",
        }
        return ConfigurableTask(
            config=common | (_choosing() if self.multiple_choice else _answering(max_new_tokens))
        )


def _shown(row: dict[str, Any], render: Render | None) -> str:
    if render is not None:
        return render(row["question"], row["context"])
    return f"{row['question']}\n{row['context']}" if row["context"] else row["question"]


def _choosing() -> dict[str, Any]:
    figures = ("acc", "acc_norm")
    return {
        "output_type": "multiple_choice",
        "doc_to_choice": "choices",
        "doc_to_target": "answers",
        "metric_list": [_averaged(name) for name in figures],
    }


def _answering(max_new_tokens: int) -> dict[str, Any]:
    return {
        "output_type": "generate_until",
        "doc_to_target": lambda row: row["answers"][0],
        "generation_kwargs": {"until": [], "do_sample": False, "max_gen_toks": max_new_tokens},
        "process_results": _free_answer,
        "metric_list": [_averaged(name) for name in OF_TEXTS],
    }


def _averaged(metric: str) -> dict[str, Any]:
    return {"metric": metric, "aggregation": "mean", "higher_is_better": True}


def _free_answer(row: dict[str, Any], answers: list[str]) -> dict[str, float]:
    return {name: score(answers[0].strip(), row["answers"]) for name, score in OF_TEXTS.items()}


def read_task(path: Path) -> TaskFile:
    """Read a task from a .jsonl, .json, .csv or .parquet file.

    Raises
    ------
    ShepherdError
        If there are no rows, or a row is of neither kind, naming its line.
    """
    found = [(place, _row(row, place)) for place, row in read_rows(path)]
    if not found:
        raise ShepherdError(f"{path} has no rows; a task needs at least one question.")
    multiple_choice = bool(found[0][1]["choices"])
    for place, row in found:
        if bool(row["choices"]) != multiple_choice:
            raise ShepherdError(
                f"{place} has {'choices' if row['choices'] else 'no choices'}, unlike the rows before it; "
                "give a file for each kind of task."
            )
    rows = [row for _, row in found]
    digest = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
    return TaskFile(path.name[: -len(ending(path.name))], rows, multiple_choice, digest)


def _row(row: Row, place: str) -> dict[str, Any]:
    context = next((row[name] for name in _CONTEXT if row.get(name)), "")
    answer = _value(row, _ANSWER, place)
    choices = row.get("choices") or []
    return {
        "question": _text(_value(row, _QUESTION, place), "question", place),
        "context": _text(context, "context", place) if context else "",
        "choices": _choices(choices, place) if choices else [],
        "answers": _right(answer, choices, place) if choices else _acceptable(answer, place),
    }


def _value(row: Row, names: tuple[str, ...], place: str) -> Any:
    found = [row[name] for name in names if row.get(name) is not None]
    if len(found) != 1:
        said = "both" if found else "neither"
        raise ShepherdError(f"{place} has {said} of {' and '.join(names)}; give one of them.")
    return found[0]


def _text(value: Any, what: str, place: str) -> str:
    if not isinstance(value, str) or not value.strip():
        said = "an empty text" if isinstance(value, str) else kind(value)
        raise ShepherdError(f"{place} has {said} as its {what}; write some text there.")
    return value


def _choices(choices: Any, place: str) -> list[str]:
    if not isinstance(choices, list) or len(choices) < 2:
        raise ShepherdError(f"{place} has no list of two choices or more in 'choices'; write them there.")
    texts = [_text(choice, "choice", place) for choice in choices]
    if len(set(texts)) < len(texts):
        raise ShepherdError(f"{place} has the same choice twice; make them differ.")
    return texts


def _right(answer: Any, choices: list[str], place: str) -> int:
    """Return the right choice's number."""
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(choices):
        return answer
    if isinstance(answer, str) and answer in choices:
        return choices.index(answer)
    raise ShepherdError(
        f"{place} has the answer {json.dumps(answer, ensure_ascii=False)}, which is none of its {len(choices)} "
        "choices; give one's text, or its number from 0."
    )


def _acceptable(answer: Any, place: str) -> list[str]:
    answers = answer if isinstance(answer, list) else [answer]
    if not answers:
        raise ShepherdError(f"{place} has an empty list of answers; give one.")
    return [_text(text, "answer", place) for text in answers]
