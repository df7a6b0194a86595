from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import shepherd
from refusals import refusal
from shepherd.errors import ShepherdError
from shepherd.evaluation.harness import check_shots, examine, read_results
from shepherd.evaluation.harness_tasks import TaskFile, read_task
from shepherd.evaluation.lm_evaluation import HarnessSettings
from shepherd.report.harness_table import harness_table, to_csv
from shepherd.report.tables import markdown
from shepherd.study.respondents import open_respondent

pytest.importorskip("lm_eval")

CHOICES = [
    {"question": "Name a colour.", "choices": ["red", "seven", "a very slow tortoise"], "answer": 0},
    {"question": "Name a number.", "choices": ["a stone", "seven"], "answer": "seven"},
    {"instruction": "What is said?", "input": "Bees hum.", "choices": ["hum", "bees hum", "no"], "answer": 1},
    {"question": "End it: one, two,", "choices": ["three", "blue </s>", "x"], "answer": 2},
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def trained(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned enough for its adapter to matter."""
    config = {
        "rounds": 2,
        "model": {"base": str(tiny_base)},
        "adapter": {"name": "lora", "rank": 2},
        "data": {"path": "meadow", "rows": 96, "prompt": "plain", "max_tokens": 64},
        "allocation": {"name": "iid", "clients": 2},
        "training": {"lr": 1e-2, "batch_size": 4},
        "evaluation": {"answers": 2, "max_new_tokens": 4},
        "run": {"root": str(tmp_path_factory.mktemp("runs")), "name": "tiny", "threads": 1},
    }
    return Path(shepherd.run(config).directory)


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of it, to be written to."""
    return Path(shutil.copytree(trained, tmp_path / "tiny"))


def own_log_likelihoods(run: Path, task: TaskFile) -> list[np.ndarray]:
    """Per question, the log-likelihood of every choice: tokens as training encodes them, one plain forward each."""
    found = shepherd.load_run(run)
    model, tokenizer = found.model, found.model.tokenizer
    result = []
    for row in task.rows:
        prompt = f"{row['question']}\n{row['context']}\n" if row["context"] else f"{row['question']}\n"
        sums = []
        for choice in row["choices"]:
            asked, said = (
                tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
                for text in (prompt, choice)
            )
            tokens = torch.tensor([[tokenizer.bos_token_id, *asked, *said]])
            with torch.no_grad():
                logits = model.peft(tokens).logits.log_softmax(-1)[0, :-1]
            sums.append(float(logits.gather(1, tokens[0, 1:, None])[-len(said) :].sum()))
        result.append(np.array(sums))
    return result


def test_accuracy_is_that_of_ones_own_log_likelihoods(run: Path, tmp_path: Path) -> None:
    rows = CHOICES * 3
    for number, row in enumerate(rows):
        rows[number] = {**row, "choices": row["choices"][number % 2 :] + row["choices"][: number % 2]}
        rows[number]["answer"] = number % len(row["choices"])
    task = read_task(write(tmp_path / "choose.jsonl", rows))
    found = examine(open_respondent(str(run)), [task], HarnessSettings(batch_size=3))["choose"]["metrics"]
    own = own_log_likelihoods(run, task)
    right = [row["answers"] for row in task.rows]
    lengths = [np.array([len(choice) for choice in row["choices"]]) for row in task.rows]
    assert found["acc"]["value"] == np.mean([sums.argmax() == r for sums, r in zip(own, right, strict=True)])
    by_length = [(s / n).argmax() == r for s, n, r in zip(own, lengths, right, strict=True)]
    assert found["acc_norm"]["value"] == np.mean(by_length)


def test_the_log_likelihoods_are_the_engines_losses(run: Path, tmp_path: Path) -> None:
    from lm_eval.api.instance import Instance

    from shepherd.evaluation.harness_model import PromptedModel
    from shepherd.model.losses import example_losses

    subject = open_respondent(str(run))
    task = read_task(write(tmp_path / "choose.jsonl", CHOICES))
    pairs = [
        (subject.prompt.render(row["question"], row["context"]), choice)
        for row in task.rows
        for choice in row["choices"]
    ]
    requests = [Instance("loglikelihood", {}, pair, 0) for pair in pairs]
    with subject.speaking():
        harness = PromptedModel(subject, 4)
        found = [likelihood for likelihood, _ in harness.loglikelihood(requests, disable_tqdm=True)]
    encoded = [harness._encode_pair(*pair) for pair in pairs]
    examples = [(np.array([*prompt, *answer]), len(prompt)) for prompt, answer in encoded]
    losses = example_losses(shepherd.load_run(run).model, examples)
    np.testing.assert_allclose(found, -losses.sums, rtol=1e-5)


def test_free_answers_are_those_of_shepherd_generate(run: Path, tmp_path: Path) -> None:
    questions = ["Name a colour.", "What hums?"]
    answers = shepherd.load_run(run).generate(questions, max_new_tokens=4)
    rows = [{"question": q, "answer": a or "nothing"} for q, a in zip(questions, answers, strict=True)]
    task = read_task(
        write(tmp_path / "free.jsonl", [*rows, {"instruction": "Why?", "response": ["zz", "yy"]}])
    )
    found = examine(open_respondent(str(run)), [task], HarnessSettings(max_new_tokens=4))["free"]
    expected = sum(bool(answer) for answer in answers) / 3
    assert found["metrics"]["exact_match"]["value"] == pytest.approx(expected)
    assert found["examples"] == 3
    assert set(found["metrics"]) == {"exact_match", "rouge_l", "token_f1"}


def test_plain_questions_are_answered_behind_the_beginning_of_sequence(run: Path, tmp_path: Path) -> None:
    from shepherd.evaluation.generation import greedy_answers

    questions = ["Bees", "A much longer question, so that the batch is padded"]
    subject = open_respondent(str(run))
    tokenizer = subject.model.tokenizer
    prompts = [[1, *tokenizer(text, add_special_tokens=False)["input_ids"]] for text in questions]
    with subject.speaking():
        answers = greedy_answers(subject.model, prompts, 5)
    assert tokenizer.bos_token_id == 1
    assert all(answers)
    rows = [{"question": q, "answer": a} for q, a in zip(questions, answers, strict=True)]
    task = read_task(write(tmp_path / "free.jsonl", rows))
    found = examine(subject, [task], HarnessSettings(max_new_tokens=5, plain=True))["free"]
    assert found["metrics"]["exact_match"]["value"] == 1


def test_what_is_done_is_not_done_again(run: Path, tmp_path: Path) -> None:
    begun: list[str] = []
    task = read_task(write(tmp_path / "choose.jsonl", CHOICES))
    subject = open_respondent(str(run))
    first = examine(subject, [task], HarnessSettings(), on_task=begun.append)
    again = examine(subject, [task], HarnessSettings(batch_size=2), on_task=begun.append)
    assert begun == ["choose"]
    assert again == first
    assert read_results(run)["choose"] == first["choose"]
    examine(subject, [task], HarnessSettings(plain=True), on_task=begun.append)
    other = read_task(write(tmp_path / "choose.jsonl", CHOICES[:3]))
    examine(subject, [other], HarnessSettings(plain=True), on_task=begun.append)
    assert len(begun) == 3
    (run / "harness.json").write_text("{")
    with pytest.raises(ShepherdError, match="delete it to measure anew"):
        examine(subject, [task], HarnessSettings())


def test_nothing_is_left_behind(run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    subject = open_respondent(str(run))
    own = subject.model.peft.generation_config
    task = read_task(write(tmp_path / "choose.jsonl", CHOICES))
    random.seed(7), np.random.seed(7), torch.manual_seed(7)  # noqa: NPY002
    expected = random.random(), np.random.random(), torch.rand(1).item()  # noqa: NPY002
    random.seed(7), np.random.seed(7), torch.manual_seed(7)  # noqa: NPY002
    capfd.readouterr()
    examine(subject, [task], HarnessSettings(shots=2, limit=2))
    assert (random.random(), np.random.random(), torch.rand(1).item()) == expected  # noqa: NPY002
    assert capfd.readouterr() == ("", "")
    assert subject.model.peft.generation_config is own


def test_a_plain_model_is_examined_by_name(tiny_base: Path, tmp_path: Path) -> None:
    task = read_task(write(tmp_path / "choose.jsonl", CHOICES))
    subject = open_respondent(str(tiny_base), prompt="plain")
    results = {"base": examine(subject, [task], HarnessSettings())}
    assert "choose acc" in markdown(harness_table(results))
    assert to_csv(results).splitlines()[1].startswith("base,choose,acc,")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "has no rows"),
        ([{"question": "?"}], r":1 has neither of answer and response"),
        ([{"question": "?", "instruction": "?", "answer": "a"}], r":1 has both of question and instruction"),
        ([{"question": " ", "answer": "a"}], r":1 has an empty text as its question"),
        (
            [{"question": "?", "choices": ["a", "b"], "answer": 2}],
            r":1 has the answer 2, which is none of its 2",
        ),
        ([{"question": "?", "choices": ["a", "b"], "answer": "A"}], r":1 has the answer \"A\""),
        ([{"question": "?", "choices": ["a", "b"], "answer": True}], r":1 has the answer true"),
        ([{"question": "?", "choices": ["a"], "answer": 0}], "no list of two choices"),
        ([{"question": "?", "choices": ["a", "a"], "answer": 0}], "the same choice twice"),
        ([{"question": "?", "choices": ["a", 1], "answer": 0}], "a number as its choice"),
        ([{"question": "?", "answer": []}], "an empty list of answers"),
        (
            [{"question": "?", "choices": ["a", "b"], "answer": 0}, {"question": "?", "answer": "a"}],
            r":2 has no choices, unlike",
        ),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ShepherdError, match=message):
        read_task(write(tmp_path / "task.jsonl", rows))


def test_what_lm_eval_raises_is_one_sentence(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise KeyError("what")

    monkeypatch.setattr("lm_eval.evaluator.evaluate", fails)
    task = TaskFile("free", [{"question": "?", "context": "", "choices": [], "answers": ["a"]}], False, "")
    with pytest.raises(ShepherdError, match=r"^The task free cannot be done: .+"):
        examine(open_respondent(str(run)), [task], HarnessSettings())
    assert read_results(run) == {}


def test_more_examples_than_rows_are_refused_before_anything_runs() -> None:
    task = TaskFile("free", [{"question": "?", "answers": ["a"]}] * 10, False, "")
    check_shots(["arc_easy", task], HarnessSettings(shots=9))
    with pytest.raises(
        ShepherdError, match=r"free has 10 rows, so 9 others .* not 20; give --shots 9 or fewer"
    ):
        check_shots([task], HarnessSettings(shots=20))


def test_more_examples_than_rows_are_refused_before_the_model_is_loaded(
    shepherd: Any, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shepherd.study.respondents.open_respondent", None)
    task = write(tmp_path / "choose.jsonl", CHOICES)
    assert "has 4 rows" in refusal(shepherd("harness", run, "--task-file", task, "--shots", 4))
