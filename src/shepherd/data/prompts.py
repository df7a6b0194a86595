"""Prompts: what a model is shown before it answers.

A prompt turns an instruction and its context into text. It knows nothing of responses, tokens or
training.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml

from shepherd.errors import ShepherdError
from shepherd.settings import nearest

_PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)\}")
_KEYS = ("with_context", "without_context")
_FILE_ENDINGS = (".yaml", ".yml", ".json")

# Characters of Unicode's private use area: no template writes them, every chat template passes them on.
_MARK = "\ue000\ue001"


class Prompt:
    """What a model is shown before it answers.

    Attributes
    ----------
    name : str
        How messages call it.
    special_tokens : bool
        Whether text such as ``<s>`` in the rendered prompt stands for the special token. Where it does
        not, an instruction cannot smuggle one in.
    """

    name: str
    special_tokens: bool

    def render(self, instruction: str, context: str) -> str:
        """Return the prompt's text; a blank context counts as none."""
        raise NotImplementedError

    def description(self) -> dict[str, str]:
        """Return all that `render` depends on, for fingerprints."""
        raise NotImplementedError

    def tail(self, context: str) -> str:
        """Return the template's text after the last of the user's own (``"### Response:"`` and the like)."""
        return self.render(_MARK, _MARK if context.strip() else "").rpartition(_MARK)[2]


@dataclass(frozen=True)
class TemplatePrompt(Prompt):
    """Two texts with the placeholders ``{instruction}`` and ``{context}``; other braces are plain text."""

    with_context: str
    without_context: str
    name: str = "custom"
    special_tokens: bool = True

    def render(self, instruction: str, context: str) -> str:
        """Fill in the placeholders."""
        template = self.with_context if context.strip() else self.without_context
        return fill(template, {"instruction": instruction, "context": context})

    def description(self) -> dict[str, str]:
        """Return both templates."""
        return {"with_context": self.with_context, "without_context": self.without_context}


@dataclass(frozen=True)
class ChatPrompt(Prompt):
    """The tokenizer's own chat template, with one turn of the user's."""

    tokenizer: Any
    name: str = "chat"
    special_tokens: bool = True

    def render(self, instruction: str, context: str) -> str:
        """Return the chat up to where the assistant's answer begins."""
        content = f"{instruction}\n\n{context}" if context.strip() else instruction
        turns = [{"role": "user", "content": content}]
        try:
            return self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        except jinja2.TemplateError as error:
            raise ShepherdError(
                f"The tokenizer's chat template fails on a single user turn ({error}); "
                "choose another data.prompt."
            ) from error

    def description(self) -> dict[str, str]:
        """Return the tokenizer's template."""
        return {"chat_template": str(self.tokenizer.chat_template)}


_INTRO = "Below is an instruction that describes a task"
_TASK = "Write a response that appropriately completes the request.\n\n### Instruction:\n{instruction}\n\n"

ALPACA = TemplatePrompt(
    with_context=(
        f"{_INTRO}, paired with an input that provides further context. {_TASK}"
        "### Input:\n{context}\n\n### Response:\n"
    ),
    without_context=f"{_INTRO}. {_TASK}### Response:\n",
    name="alpaca",
    special_tokens=False,
)
"""The prompt of Alpaca, which FedIT uses (arXiv 2305.05644, table 1)."""

PLAIN = TemplatePrompt("{instruction}\n{context}\n", "{instruction}\n", name="plain", special_tokens=False)
"""Instruction and context, a line each, without labels."""


#: The prompts that a config may name; any other text is the path of a file.
NAMES = ("alpaca", "plain", "chat")


def load_prompt(spec: str | dict[str, Any], tokenizer: Any) -> Prompt:
    """Find the prompt a config asks for.

    Parameters
    ----------
    spec : str or dict
        ``alpaca``, ``plain``, ``chat`` (the tokenizer's own template), the path of a YAML or JSON file, or
        a mapping; the last two with the keys ``with_context`` and ``without_context``.
    tokenizer : transformers.PreTrainedTokenizerBase
        The base model's tokenizer; only ``chat`` looks at it.

    Raises
    ------
    ShepherdError
        If there is no such prompt, or its template cannot be used.
    """
    if isinstance(spec, dict):
        return _custom(spec, "data.prompt")
    if spec == "chat":
        return _chat(tokenizer)
    built_in = {prompt.name: prompt for prompt in (ALPACA, PLAIN)}
    if spec in built_in:
        return built_in[spec]
    if spec.lower().endswith(_FILE_ENDINGS):
        return _custom(_read(Path(spec).expanduser()), spec)
    known = nearest(spec, [*built_in, "chat"])
    raise ShepherdError(f"There is no prompt '{spec}'{known}; or give the path of a .yaml or .json file.")


def _chat(tokenizer: Any) -> ChatPrompt:
    if not getattr(tokenizer, "chat_template", None):
        raise ShepherdError(
            f"The tokenizer {getattr(tokenizer, 'name_or_path', '')} has no chat template; "
            "choose another data.prompt, such as alpaca."
        )
    return ChatPrompt(tokenizer)


def _read(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8-sig")
        return json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise ShepherdError(f"Cannot read the prompt {path}: {error.strerror}; check the path.") from error
    except (ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ShepherdError(f"The prompt {path} is not valid ({reason}); repair it.") from error


def _custom(content: Any, source: str) -> TemplatePrompt:
    if not isinstance(content, dict) or set(content) != set(_KEYS):
        keys = ", ".join(map(str, content)) if isinstance(content, dict) else ""
        raise ShepherdError(
            f"The prompt {source} has {f'the keys {keys}' if keys else 'no keys'}; "
            f"give it exactly {' and '.join(_KEYS)}."
        )
    check_template(
        content["with_context"], {"instruction", "context"}, f"with_context of the prompt {source}"
    )
    check_template(content["without_context"], {"instruction"}, f"without_context of the prompt {source}")
    return TemplatePrompt(content["with_context"], content["without_context"])


def fill(template: str, values: Mapping[str, str]) -> str:
    """Fill in a template's placeholders, in one pass: what is filled in is never read as a template."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), template)


def check_template(template: Any, needed: set[str], place: str, optional: Collection[str] = ()) -> None:
    """Refuse a template that is no text, lacks a placeholder, or has one that nothing is known about.

    Raises
    ------
    ShepherdError
        Naming `place` and the placeholder.
    """
    if not isinstance(template, str):
        raise ShepherdError(f"{place} is no text; write a template there.")
    found = set(_PLACEHOLDER.findall(template))
    known = needed.union(optional)
    for name in sorted(found - known):
        raise ShepherdError(f"{place} has the unknown placeholder {{{name}}}{nearest(name, sorted(known))}.")
    for name in sorted(needed - found):
        raise ShepherdError(f"{place} lacks the placeholder {{{name}}}; put it where the {name} belongs.")
