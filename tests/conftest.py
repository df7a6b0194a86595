"""Fixtures shared by all tests: real data and models, where there are any."""

from __future__ import annotations

import io
import os
import sys

# Every process of the tests has one core, or they slow each other down.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from fake_server import FakeServer
from tiny_runs import tiny_values

# A busy machine is not a failing test.
settings.register_profile("shepherd", deadline=None)
settings.load_profile("shepherd")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data sets and models; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("SHEPHERD_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no shared data in {folder}; set SHEPHERD_SHARED")
    return folder


@pytest.fixture(scope="session")
def lamb() -> Path:
    """The base model shipped with Shepherd."""
    folder = ROOT / "src" / "shepherd" / "assets" / "lamb"
    if not (folder / "tokenizer.json").is_file():
        pytest.skip(f"the embedded base model is not in {folder}")
    return folder


@pytest.fixture(scope="session")
def tokenizer(lamb: Path) -> Any:
    """The tokenizer of the base model shipped with Shepherd."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(lamb)


@pytest.fixture(scope="session")
def tiny_base(lamb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random LLaMA of 2 layers and hidden 32 with lamb's tokenizer: trains in milliseconds."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("base") / "tiny"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=4096,
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                num_key_value_heads=1,
                max_position_embeddings=256,
                pad_token_id=0,
                bos_token_id=1,
                eos_token_id=2,
            )
        )
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(lamb).save_pretrained(folder)
    return folder


@pytest.fixture
def tiny(tiny_base: Path, tmp_path: Path) -> dict[str, Any]:
    """The plain values of a config that runs in a second or two."""
    return tiny_values(tiny_base, tmp_path / "runs")


@pytest.fixture
def judge_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """A server of chat completions on this machine, which does as it is told (fake_server.py); and no key anywhere."""
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    with FakeServer() as server:
        yield server


@pytest.fixture
def shepherd(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs the command in this process; returns exit code, output and errors."""
    from rich.console import Console

    from shepherd.cli import main

    def call(*arguments: object, lines: str | None = None) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["shepherd", *map(str, arguments)])
        if lines is not None:
            monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
        monkeypatch.setattr("shepherd.cli.terminal.out", Console(width=160))
        monkeypatch.setattr("shepherd.cli.terminal.err", Console(width=160, stderr=True))
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        return code if isinstance(code, int) else 0, *capfd.readouterr()

    return call
