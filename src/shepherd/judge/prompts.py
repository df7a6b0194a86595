"""What a judge is shown: a template in a file, filled in with a question and one or two answers.

A template has a part for the system, one for the user, and one for the question's reference answers, each under its
name in brackets. Our own are in `assets/judge`; any text file of the same shape will do. What is filled in was written
by strangers, and is fenced.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from shepherd.data.prompts import check_template, fill
from shepherd.endpoint import Message
from shepherd.errors import ShepherdError
from shepherd.judge.fences import fenced
from shepherd.judge.judgement import Form
from shepherd.study.questions import Question

_FOLDER = Path(__file__).parents[1] / "assets" / "judge"
_HEADING = re.compile(r"^\[(system|user|reference)\][ \t]*\n", re.MULTILINE)

#: The placeholders of each form's answers, in the order shown, and whose answer the fence says it is.
ANSWERS: dict[Form, dict[str, str]] = {
    "scores": {"first": "answer of Assistant 1", "second": "answer of Assistant 2"},
    "verdict": {"first": "answer of Assistant A", "second": "answer of Assistant B"},
    "single": {"answer": "answer"},
}


@dataclass(frozen=True)
class JudgePrompt:
    """A template for one form of judging.

    Attributes
    ----------
    form : str
        ``scores``, ``verdict`` or ``single``.
    text : str
        The whole file.
    system, user, reference : str
        Its parts; ``""`` for a reference part that is not there.
    """

    form: Form
    text: str
    system: str
    user: str
    reference: str

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the file, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def messages(self, question: Question, *answers: str) -> tuple[Message, ...]:
        """Return what the judge is sent about these answers, in the order in which they are to be shown."""
        asked = "\n\n".join(part for part in (question.instruction, question.context) if part.strip())
        values = {"question": fenced("question", asked), "reference": self._references(question)}
        for (placeholder, name), answer in zip(ANSWERS[self.form].items(), answers, strict=True):
            values[placeholder] = fenced(name, answer)
        return Message("system", self.system), Message("user", fill(self.user, values))

    def _references(self, question: Question) -> str:
        if not question.references:
            return ""
        fences = [fenced(f"reference {n}", text) for n, text in enumerate(question.references, start=1)]
        return fill(self.reference, {"answers": "\n\n".join(fences)}) + "\n\n"


def read_prompt(form: Form, path: Path | None = None) -> JudgePrompt:
    """Return our own template for a form, or the one in a file.

    Raises
    ------
    ShepherdError
        If the file cannot be read or is no template for this form.
    """
    path = path or _FOLDER / f"{form}.txt"
    try:
        return parse_prompt(form, path.read_text(encoding="utf-8-sig"), f"the prompt {path}")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise ShepherdError(f"Cannot read the prompt {path}: {reason}; check the path.") from error


def parse_prompt(form: Form, text: str, source: str) -> JudgePrompt:
    """Return the template that `text` is; `source` is what messages call it.

    Raises
    ------
    ShepherdError
        If a part or a placeholder is missing, doubled or unknown.
    """
    before, *rest = _HEADING.split(text)
    names, parts = rest[::2], [part.strip() for part in rest[1::2]]
    if before.strip() or sorted(names) not in (["system", "user"], ["reference", "system", "user"]):
        raise ShepherdError(
            f"{source} needs a line [system] and a line [user], each followed by a text, and at most one [reference]."
        )
    found = dict(zip(names, parts, strict=True))
    check_template(found["system"], set(), f"[system] of {source}")
    check_template(found["user"], {"question", *ANSWERS[form]}, f"[user] of {source}", {"reference"})
    if "reference" in found:
        check_template(found["reference"], {"answers"}, f"[reference] of {source}")
    if ("{reference}" in found["user"]) != ("reference" in found):
        raise ShepherdError(
            f"{source} shows reference answers by {{reference}} in [user] and a part [reference]; "
            "write both or neither."
        )
    return JudgePrompt(form, text, found["system"], found["user"], found.get("reference", ""))
