"""Fixtures shared by all tests: real data and models, where there are any."""

from __future__ import annotations

import os

if (
    "PYTEST_XDIST_WORKER" in os.environ
):  # every process of the tests has one core, or they slow each other down
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from fake_server import FakeServer

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
    return {
        "rounds": 3,
        "model": {"base": str(tiny_base)},
        "adapter": {"name": "lora", "rank": 2},
        "data": {
            "path": "meadow",
            "rows": 96,
            "prompt": "plain",
            "max_tokens": 64,
            "holdout": {"name": "per_category", "count": 2},
        },
        "allocation": {"name": "dirichlet", "clients": 5, "alpha": 1.0, "min_examples": 4},
        "participation": {"name": "random", "count": 2},
        "training": {"lr": 1e-2, "batch_size": 4},
        "evaluation": {"answers": 2, "max_new_tokens": 4},
        "run": {"root": str(tmp_path / "runs"), "name": "tiny", "threads": 1},
    }


@pytest.fixture
def judge_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """A server of chat completions on this machine, which does as it is told (fake_server.py); and no key anywhere."""
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    with FakeServer() as server:
        yield server
