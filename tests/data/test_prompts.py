from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shepherd.data.prompts import ALPACA, PLAIN, TemplatePrompt, load_prompt
from shepherd.errors import ShepherdError

CHAT = (
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content | trim }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
CUSTOM = {"with_context": "Q: {instruction}\nP: {context}\nA:", "without_context": "Q: {instruction}\nA:"}


@pytest.fixture
def chatty(tokenizer: Any) -> Any:
    """A tokenizer with a chat template."""
    chatty = copy.deepcopy(tokenizer)
    chatty.chat_template = CHAT
    return chatty


def test_alpaca_with_context_is_the_papers() -> None:
    assert load_prompt("alpaca", None).render("Add.", "1 2") == (
        "Below is an instruction that describes a task, paired with an input that provides further context. "
        "Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:\n"
    )


def test_alpaca_without_context_is_the_papers() -> None:
    assert load_prompt("alpaca", None).render("Greet.", " ") == (
        "Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nGreet.\n\n### Response:\n"
    )


def test_plain() -> None:
    assert load_prompt("plain", None).render("Add.", "1 2") == "Add.\n1 2\n"
    assert load_prompt("plain", None).render("Greet.", "") == "Greet.\n"


def test_chat(chatty: Any) -> None:
    prompt = load_prompt("chat", chatty)
    assert prompt.render("Add.", "1 2") == "<s>[user] Add.\n\n1 2\n[assistant]"
    assert prompt.render("Greet.", "") == "<s>[user] Greet.\n[assistant]"
    assert prompt.tail("x") == prompt.tail("") == "\n[assistant]"


def test_chat_without_a_template_is_refused(tokenizer: Any) -> None:
    with pytest.raises(ShepherdError, match="has no chat template"):
        load_prompt("chat", tokenizer)


def test_a_chat_template_that_fails_is_refused(chatty: Any) -> None:
    chatty.chat_template = "{{ raise_exception('no user turns') }}"
    with pytest.raises(ShepherdError, match="no user turns"):
        load_prompt("chat", chatty).render("a", "")


def test_tails() -> None:
    assert ALPACA.tail("x") == ALPACA.tail("") == "\n\n### Response:\n"
    assert PLAIN.tail("x") == "\n"


@pytest.mark.parametrize("name", ["p.yaml", "p.yml", "p.json"])
def test_a_prompt_of_ones_own_in_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(json.dumps(CUSTOM))  # JSON is YAML
    prompt = load_prompt(str(tmp_path / name), None)
    assert prompt == load_prompt(CUSTOM, None)
    assert prompt.render("Add.", "1 2") == "Q: Add.\nP: 1 2\nA:"


def test_other_braces_are_text() -> None:
    spec = {
        "with_context": '{"q": "{instruction}", "c": "{context}"} {}',
        "without_context": "{0} {instruction}",
    }
    prompt = load_prompt(spec, None)
    assert prompt.render("a", "b") == '{"q": "a", "c": "b"} {}'
    assert prompt.render("a", "") == "{0} a"


@given(instruction=st.text(min_size=1), context=st.text(min_size=1).filter(str.strip))
@settings(max_examples=30)
def test_what_is_filled_in_is_never_read_as_a_template(instruction: str, context: str) -> None:
    prompt = load_prompt(CUSTOM, None)
    for text in (instruction, "{context}", "{instruction}{0}%s\\1"):
        assert prompt.render(text, context) == f"Q: {text}\nP: {context}\nA:"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"with_context": "{instruction} {contxt}"}, r"placeholder \{contxt\}; did you mean 'context'"),
        ({"without_context": "{instruction} {context}"}, r"without_context .* placeholder \{context\}"),
        ({"with_context": "{instruction}"}, r"with_context .* lacks the placeholder \{context\}"),
        ({"without_context": "Answer:"}, r"without_context .* lacks the placeholder \{instruction\}"),
        ({"without_context": 3}, "without_context .* is no text"),
        ({"tail": "x"}, "give it exactly with_context and without_context"),
    ],
)
def test_bad_templates_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ShepherdError, match=message):
        load_prompt({**CUSTOM, **change}, None)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.yaml", b"with_context: [", "is not valid"),
        ("p.json", b"{", "is not valid"),
        ("p.yaml", b"\xff\xfe\xff", "is not valid"),
        ("p.yaml", b"just text", "has no keys"),
        ("p.yaml", b"{}", "has no keys"),
        ("p.yaml", b"with_context: '{instruction}{context}'", "has the keys with_context"),
        ("p.yaml", None, "Cannot read the prompt"),
    ],
)
def test_bad_prompt_files_are_refused(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ShepherdError, match=message) as caught:
        load_prompt(str(tmp_path / name), None)
    assert "\n" not in str(caught.value)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ShepherdError, match="no prompt 'alpacca'; did you mean 'alpaca'"):
        load_prompt("alpacca", None)


def test_descriptions_tell_prompts_apart(chatty: Any) -> None:
    prompts = [
        ALPACA,
        PLAIN,
        load_prompt("chat", chatty),
        TemplatePrompt("{instruction} {context}", "{instruction}"),
    ]
    assert len({json.dumps(prompt.description()) for prompt in prompts}) == len(prompts)
