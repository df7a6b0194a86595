"""A study's folder: the questions, every model's answers, every judge's judgements, people's ratings.

    studies/<name>/
      study.json           where the questions are from, and their fingerprint
      questions.jsonl      the questions, one a line
      answers/<model>.json    the model's card;  answers/<model>.jsonl  its answers, one a question
      judges/<judge>/      settings.json, replies.jsonl (everything paid for), judgements.jsonl
      ratings/             what people said
      report.html          one self-contained file

It knows files and their checks, and nothing of how answers and judgements come about.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from shepherd.errors import ShepherdError, first_line
from shepherd.files import explained, held, write_atomically, write_json
from shepherd.judge.judgement import Judgement
from shepherd.run_files import read_json_lines
from shepherd.settings import first_mistake, nearest
from shepherd.study.answers import Answer, ModelCard
from shepherd.study.questions import Question, fingerprint

STUDIES = Path("studies")
#: What to do about a damaged file, by what is in it.
_RESTORE: dict[type, str] = {
    Question: "restore it, or begin another study with --questions and another --study",
    Answer: "restore it, or delete what is damaged and give `shepherd answer` again",
    Judgement: "write it again from the judge's replies with `shepherd judge --recompute`",
}
#: No part begins with a dot: `./a` would be `a`, and `..` the folder above.
_LABEL = re.compile(r"[\w+-][\w.+-]*(/[\w+-][\w.+-]*)*")
_Row = TypeVar("_Row", Question, Answer, Judgement, ModelCard)


@dataclass(frozen=True)
class Study:
    """A study on disk.

    Attributes
    ----------
    path : Path
        Its folder.
    """

    path: Path

    @property
    def exists(self) -> bool:
        """Whether there are questions yet."""
        return (self.path / "study.json").is_file()

    def begin(self, questions: Sequence[Question], source: str, counts: Sequence[int] = ()) -> None:
        """Make the folder with these questions, or go back into one that has the same.

        Parameters
        ----------
        questions : sequence of Question
            What models are to be asked.
        source : str
            Where they are from.
        counts : sequence of int
            The report has tables of so many of the questions too.

        Raises
        ------
        ShepherdError
            If it holds other questions: answers to them would be mixed with the new ones.
        """
        about = {
            "source": source,
            "questions": len(questions),
            "counts": [count for count in counts if count < len(questions)],
            "fingerprint": fingerprint(questions),
        }
        if self.exists:
            if self.about()["fingerprint"] != about["fingerprint"]:
                raise ShepherdError(
                    f"{self.path} is a study of other questions ({self.about()['source']}); choose another --study."
                )
            return
        with explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        write_lines(self.path / "questions.jsonl", questions)
        write_json(self.path / "study.json", about)

    def held(self) -> AbstractContextManager[None]:
        """Keep every other process from writing here; a killed one holds nothing."""
        return held(self.path / ".lock", f"{self.path} is in use by another shepherd; wait for it to end.")

    def about(self) -> dict[str, Any]:
        """Return where the questions are from, their number and fingerprint, and of how many there are tables."""
        return _read_object(
            self.path / "study.json",
            f"{self.path} is no study; begin one with: shepherd answer RUN --questions FILE --study {self.path}",
        )

    def questions(self) -> list[Question]:
        """Return the questions.

        Raises
        ------
        ShepherdError
            If they are not those that the study began with.
        """
        path, about = self.path / "questions.jsonl", self.about()
        questions = list(_rows(path, Question))
        if fingerprint(questions) != about.get("fingerprint"):
            raise ShepherdError(
                f"{path} does not hold the questions that the study began with; restore it, or begin another study "
                "with other questions: shepherd answer RUN --questions FILE --study NEW"
            )
        return questions

    def models(self) -> list[str]:
        """Return the labels of the models that have answered, sorted."""
        folder = self.path / "answers"
        return sorted(str(p.relative_to(folder).with_suffix("")) for p in folder.rglob("*.json"))

    def model(self, name: str) -> str:
        """Return the label meant by a label or by the path the model was answered from.

        Raises
        ------
        ShepherdError
            If no such model has answered.
        """
        labels = self.models()
        if name in labels:
            return name
        for label in labels:
            if Path(self.card(label).source) == Path(name):
                return label
        known = nearest(name, labels) if labels else ""
        # A label is nothing that `shepherd answer` could ask.
        way = (
            f"ask it first: shepherd answer {name} --study {self.path}"
            if Path(name).exists()
            else f"to ask it, give `shepherd answer` its run or model, and --study {self.path}"
        )
        raise ShepherdError(f"{self.path} has no answers of '{name}'{known}; {way}")

    def card(self, label: str) -> ModelCard:
        """Return a model's card."""
        path = self.answers_path(label).with_suffix(".json")
        return _checked(ModelCard, _read_object(path, f"{self.path} has no answers of '{label}'."), str(path))

    def write_card(self, card: ModelCard) -> None:
        """Write a model's card, before its first answer."""
        write_json(self.answers_path(card.label).with_suffix(".json"), card.to_dict())

    def answers(self, label: str) -> dict[str, Answer]:
        """Return a model's answers by question id, in the questions' order.

        Raises
        ------
        ShepherdError
            If one is damaged, or answers a question that the study does not have.
        """
        path, questions = self.answers_path(label), [question.id for question in self.questions()]
        found = {answer.question: answer for answer in _rows(path, Answer)}
        strange = found.keys() - set(questions)
        if strange:
            raise ShepherdError(
                f"{path} answers '{min(strange)}', which is no question of {self.path}; restore the file, or delete "
                "that line."
            )
        return {name: found[name] for name in questions if name in found}

    def answers_path(self, label: str) -> Path:
        """Return the file of a model's answers, to which they are appended as they come.

        Raises
        ------
        ShepherdError
            If the label is no name for a file.
        """
        if not _LABEL.fullmatch(label):
            raise ShepherdError(
                f"'{label}' cannot name a model; use letters, digits and . _ + - /, and begin no part with a dot."
            )
        return self.path / "answers" / f"{label}.jsonl"

    def judges(self) -> list[str]:
        """Return the names of the judges that have given a rating which could be read, sorted."""
        return [judge for judge in self.asked_judges() if self._is_heard(judge)]

    def asked_judges(self) -> list[str]:
        """Return the names of all judges that were ever asked, sorted."""
        folder = self.path / "judges"
        return sorted(p.parent.name for p in folder.glob("*/settings.json"))

    def _is_heard(self, judge: str) -> bool:
        """Say whether a judgement is readable, without reading them all: a reason has its quotation marks escaped."""
        path = self.judge_path(judge) / "judgements.jsonl"
        return path.is_file() and b'"readable": true' in path.read_bytes()

    def judge_path(self, judge: str) -> Path:
        """Return a judge's folder; its name is made of what a file may be called."""
        return self.path / "judges" / re.sub(r"[^\w.+-]", "_", judge)

    def judge_settings(self, judge: str) -> dict[str, Any]:
        """Return a judge's settings; there is never a key among them."""
        path = self.judge_path(judge) / "settings.json"
        return _read_object(path, f"{self.path} has no judge '{judge}'{nearest(judge, self.asked_judges())}")

    def judgements(self, judge: str) -> list[Judgement]:
        """Return everything a judge said, in the order of question, model, order and rating."""
        return list(_rows(self.judge_path(judge) / "judgements.jsonl", Judgement))

    def write_judgements(self, judge: str, judgements: Iterable[Judgement]) -> None:
        """Write everything a judge said, in the order it is asked."""
        write_lines(self.judge_path(judge) / "judgements.jsonl", judgements)


def begun_studies() -> list[Path]:
    """Return the folders in `STUDIES` that are a study, sorted."""
    return sorted(path.parent for path in STUDIES.glob("*/study.json"))


def find_study(path: Path | None) -> Study:
    """Return the study at `path`, or the only one there is.

    Raises
    ------
    ShepherdError
        If there is none there, or several to choose from.
    """
    if path is not None:
        study = Study(path)
        study.about()
        return study
    found = begun_studies()
    if len(found) != 1:
        listed = f": {', '.join(map(str, found))}" if found else "; begin one with `shepherd answer`"
        raise ShepherdError(f"Say which study with --study; there are {len(found)} in {STUDIES}/{listed}.")
    return Study(found[0])


def write_lines(path: Path, rows: Iterable[Question | Answer | Judgement]) -> None:
    """Write rows as JSON lines, atomically."""
    write_atomically(path, "".join(json.dumps(row.to_dict(), ensure_ascii=False) + "\n" for row in rows))


def _rows(path: Path, kind: type[_Row]) -> Iterator[_Row]:
    for number, line in enumerate(read_json_lines(path, appended=True, advice=_RESTORE[kind]), start=1):
        yield _checked(kind, line, f"{path}, line {number}")


def _checked(kind: type[_Row], values: dict[str, Any], where: str) -> _Row:
    """Return a row whose fields are there, and of their types."""
    try:
        return TypeAdapter(kind).validate_python(kind.from_dict(values).to_dict())
    except (TypeError, ValidationError) as error:
        what = first_line(error) if isinstance(error, TypeError) else first_mistake(error).rstrip(".")
        name = "model's card" if kind is ModelCard else kind.__name__.lower()
        raise ShepherdError(f"{where}, is no {name} ({what}); restore or delete it.") from error


def _read_object(path: Path, absent: str) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ShepherdError(absent) from None
    except (OSError, ValueError) as error:
        raise ShepherdError(f"{path} is damaged and cannot be read ({error}); restore it.") from error
    if not isinstance(value, dict):
        raise ShepherdError(f"{path} holds no mapping of keys to values; restore it.")
    return value
