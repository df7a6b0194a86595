from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from shepherd.errors import ShepherdError
from shepherd.run_files import is_finished
from shepherd.study.sources import Source, baselines_of, find_source, find_sources


def test_what_words_mean(runs: Path, tiny_base: Path) -> None:
    assert find_source("runs/a") == Source("a", "run", "runs/a")
    assert find_source("runs/a/baselines/untuned") == Source("a/untuned", "run", "runs/a/baselines/untuned")
    assert find_source("mine=runs/a") == Source("mine", "run", "runs/a")
    assert find_source("runs/a/adapter") == Source("adapter", "adapter", "runs/a/adapter")
    assert find_source(str(tiny_base)) == Source("tiny", "model", str(tiny_base))
    assert find_source("lamb") == Source("lamb", "model", "lamb")
    assert find_source("owner/name") == Source("owner/name", "model", "owner/name")
    assert find_source("endpoint:gpt-4o:mini") == Source("gpt-4o_mini", "endpoint", "gpt-4o:mini")
    assert find_source("ChatGPT=endpoint:gpt-4o") == Source("ChatGPT", "endpoint", "gpt-4o")


def test_a_path_with_an_equals_sign_is_a_path(runs: Path) -> None:
    shutil.copytree(runs / "a", runs / "lr=1")
    assert find_source("runs/lr=1") == Source("lr_1", "run", "runs/lr=1")


def test_baselines_come_behind_their_run_and_twice_is_once(runs: Path) -> None:
    found = find_sources(["runs/a", "runs/a/", "lamb"], with_baselines=True)
    assert [source.label for source in found] == ["a", "a/untuned", "lamb"]
    shutil.rmtree(runs / "a" / "baselines" / "untuned" / "adapter")
    assert [source.label for source in find_sources(["runs/a"], with_baselines=True)] == ["a"]


def test_an_adapter_without_its_config_is_not_finished(runs: Path) -> None:
    for folder in (runs / "a" / "baselines" / "untuned", runs / "a"):
        assert is_finished(folder)
        (folder / "adapter" / "adapter_config.json").unlink()
        assert not is_finished(folder)
    assert baselines_of(Source("a", "run", "runs/a")) == []


def test_two_of_one_name(runs: Path) -> None:
    shutil.copytree(runs / "a", Path("elsewhere") / "a")
    with pytest.raises(ShepherdError, match=r"both be called 'a'; .* other=elsewhere/a"):
        find_sources(["runs/a", "elsewhere/a"])
    assert [s.label for s in find_sources(["runs/a", "b=elsewhere/a"])] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("runs/b", r"There is no run or model runs/b; did you mean 'runs/a'\?|known: runs/a, runs/other"),
        ("./nothing", "There is no run or model ./nothing"),
        ("runs", "holds no run"),
        ("endpoint:", "names no model"),
    ],
)
def test_what_is_not_there(runs: Path, text: str, sentence: str) -> None:
    with pytest.raises(ShepherdError, match=sentence):
        find_source(text)


def test_a_run_that_is_not_finished(runs: Path) -> None:
    shutil.rmtree(runs / "a" / "adapter")
    with pytest.raises(ShepherdError, match="runs/a is not finished"):
        find_source("runs/a")
