"""Who is talked to: what is shared, what the base is, and what every model is sent."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from shepherd.chat.models import Sent, Speaker, open_speakers
from shepherd.chat.speech import speak
from shepherd.errors import ShepherdError
from shepherd.evaluation.decoding import DecodingSettings
from shepherd.study.questions import Question
from shepherd.study.respondents import open_respondent


def labels(speakers: list[Speaker]) -> list[str]:
    return [speaker.card.label for speaker in speakers]


def test_runs_on_one_base_share_it(speakers: list[Speaker]) -> None:
    assert labels(speakers) == ["base", "one", "two"]
    assert len({id(speaker.model) for speaker in speakers}) == 1
    assert len({id(speaker.lock) for speaker in speakers}) == 1


def test_an_adapter_of_another_rank_leaves_the_others_as_they_are(chat_runs: dict[str, str]) -> None:
    opened = open_speakers([chat_runs["one"], chat_runs["wide"], chat_runs["two"]])
    assert labels(opened) == ["base", "one", "wide", "two"]
    base, one, wide, two = opened
    assert base.model is one.model is two.model
    assert wide.model is not one.model
    question, decoding = Question("chat", "", "Count to three."), DecodingSettings(max_new_tokens=8)
    for speaker in (two, wide, one):
        alone = open_respondent(speaker.card.source)
        (answer,) = alone.answers([question], decoding)
        sent = speaker.send("Count to three.", "", 8)
        assert list(speak(speaker, sent.tokens, decoding, threading.Event()))[-1].text == answer.answer


def test_the_base_is_a_column_once_and_only_where_it_is_wanted(
    chat_runs: dict[str, str], tiny_base: Path
) -> None:
    assert labels(open_speakers([chat_runs["one"]], base=False)) == ["one"]
    assert labels(open_speakers([str(tiny_base), chat_runs["one"]])) == ["tiny", "one"]
    assert labels(open_speakers([f"base={chat_runs['one']}"])) == ["base of base", "base"]


def test_an_adapter_directory_answers_as_its_run_does_if_asked_alike(chat_runs: dict[str, str]) -> None:
    import torch

    run, adapter = open_speakers(
        [chat_runs["one"], f"same={chat_runs['one']}/adapter"], base=False, prompt="plain"
    )
    sent = run.send("Count to three.", "", 8)
    assert adapter.send("Count to three.", "", 8).tokens == sent.tokens
    found = []
    for speaker in (run, adapter):
        with speaker.speaking(), torch.inference_mode():
            found.append(speaker.model.peft(input_ids=torch.tensor([sent.tokens])).logits)
    torch.testing.assert_close(found[0], found[1])


def test_the_prompt_as_sent(speakers: list[Speaker]) -> None:
    sent = speakers[1].send("Say it.", "A text.", 8)
    assert sent.text == "Say it.\nA text.\n"
    assert not sent.cut
    tokenizer = speakers[1].model.tokenizer
    assert sent.tokens == [tokenizer.bos_token_id, *tokenizer.encode(sent.text, add_special_tokens=False)]
    assert sent.note == f"Prompt: {len(sent.tokens)} tokens."
    assert Sent("a", [1], cut=False).note == "Prompt: 1 token."


def test_a_prompt_too_long_is_cut_as_in_training_and_shown_so(speakers: list[Speaker]) -> None:
    sent = speakers[0].send("word " * 500, "", 8)
    assert sent.cut
    assert len(sent.tokens) == 62  # max_tokens 64, less a token of the answer and its end
    assert sent.note == "The prompt was too long and was cut, as in training, to 62 tokens."
    assert len(sent.text) < 400


def test_special_tokens_in_a_prompt_are_text(speakers: list[Speaker]) -> None:
    sent = speakers[1].send("</s> <s>", "", 8)
    assert speakers[1].model.tokenizer.eos_token_id not in sent.tokens


def test_what_cannot_be_opened(chat_runs: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ShepherdError, match="There is no run or model"):
        open_speakers([str(tmp_path / "nothing")])
    with pytest.raises(ShepherdError, match="endpoint"):
        open_speakers(["endpoint:gpt"])
    copy = tmp_path / "one"
    shutil.copytree(chat_runs["one"], copy)
    with pytest.raises(ShepherdError, match="would both be called 'one'"):
        open_speakers([chat_runs["one"], str(copy)])
    (copy / "adapter" / "adapter_model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(ShepherdError, match="not a safetensors file"):
        open_speakers([str(copy)])
