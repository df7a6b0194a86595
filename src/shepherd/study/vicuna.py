"""Vicuna's eighty questions, which FedIT's study asks twenty of (arXiv 2305.05644, section 4).

They are not part of this package: they are read from a file the user names, from the cache, or downloaded once. What
they are is checked, whichever way they came.
"""

from __future__ import annotations

import hashlib
import json
import os
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from shepherd.errors import ShepherdError, first_line
from shepherd.files import write_atomically
from shepherd.study.questions import Question, read_questions

ADDRESS = "https://raw.githubusercontent.com/lm-sys/FastChat/main/fastchat/llm_judge/data/vicuna_bench/question.jsonl"
VARIABLE = "SHEPHERD_VICUNA"
#: Of the list of [id, text] as JSON.
_SHA256 = "ee60fa73f9417380f8499ef602ee54720612cc000a81c02649da61bcde417467"
_TIMEOUT_S = 20
_MOST_BYTES = 1 << 20


def vicuna_questions() -> list[Question]:
    """Return the eighty questions.

    Raises
    ------
    ShepherdError
        If they are not to be had, or are other ones.
    """
    named = os.environ.get(VARIABLE)
    cached = Path.home() / ".cache" / "shepherd" / "vicuna-80-questions.jsonl"
    if not named and not cached.is_file():
        _download(cached)
    path = Path(named).expanduser() if named else cached
    if not path.is_file():
        raise ShepherdError(f"{VARIABLE} names {path}, where there is no file; correct it, or unset it.")
    questions = read_questions(str(path))
    if digest(questions) != _SHA256:
        raise ShepherdError(
            f"{path} does not hold Vicuna's eighty questions; delete it to have them downloaded, or ask what it holds "
            f"with --questions {path}"
        )
    return questions


def digest(questions: Sequence[Question]) -> str:
    """Return the SHA-256 of the questions' ids and texts, in hex."""
    texts = [[question.id, question.instruction] for question in questions]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def _download(path: Path) -> None:
    try:
        with urllib.request.urlopen(ADDRESS, timeout=_TIMEOUT_S) as answer:
            content = answer.read(_MOST_BYTES)
    except (OSError, ValueError) as error:
        raise ShepherdError(
            f"Vicuna's questions cannot be downloaded here ({first_line(error)}); download {ADDRESS} elsewhere and "
            "give its path with --questions."
        ) from error
    write_atomically(path, content)
