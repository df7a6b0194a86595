"""Every strategy with a memory: a run that was interrupted and resumed ends as one that was not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shepherd.config import RunConfig
from shepherd.runs import execute
from tiny_runs import Stop, adapter_bytes, named

#: What of the tiny config is changed, under a name; whoever adds a strategy that remembers anything adds a line.
CHANGES: dict[str, dict[str, Any]] = {
    "dora": {"adapter": {"name": "dora", "rank": 2}, "aggregation": "fedavgm"},
    "lora_sb": {"adapter": {"name": "lora_sb", "rank": 4, "dropout": 0.1}, "aggregation": "fedadam"},
    "ptuning": {"adapter": {"name": "ptuning", "tokens": 3, "hidden": 8}, "training": {"stateful": True}},
    "full": {"adapter": {"name": "full", "only": ["*norm*"]}, "training": {"stateful": True}},
    "kseed": {
        "adapter": {"name": "kseed", "seeds": 8},
        "training": {"name": "kseed", "lr": 1e-3, "stateful": True},
        "aggregation": "fedadam",
    },
    "dpo": {
        "data": {
            **{"path": "meadow-pairs", "rows": 96, "prompt": "plain", "max_tokens": 64},
            "holdout": {"name": "per_category", "count": 2},
        },
        "training": {"name": "dpo", "reference": "round", "stateful": True},
        "adapter": {"name": "lora", "rank": 2, "dropout": 0.1},
    },
    "fedavgm": {"aggregation": "fedavgm"},
    "fedadagrad": {"aggregation": {"name": "fedadagrad", "beta_1": 0.5}},
    "fedadam": {"aggregation": {"name": "fedadam", "bias_correction": True}},
    "fedyogi": {"aggregation": "fedyogi"},
    "scaffold": {"aggregation": "scaffold", "training": {"correction": "scaffold"}},
    "topk": {"transforms": [{"name": "topk", "ratio": 0.05, "values": {"name": "quantise", "bits": 8}}]},
    "low rank": {"transforms": [{"name": "low_rank", "rank": 1}]},
    "feddyn": {"aggregation": "feddyn", "training": {"correction": "feddyn"}},
    "round robin": {"participation": {"name": "round_robin", "count": 2}},
    "rpow-d": {"participation": {"name": "power_of_choice", "count": 2, "losses": "last"}},
    "oort": {"participation": {"name": "oort", "count": 3, "explore": 0.5}},
    "divfl": {"participation": {"name": "divfl", "count": 3, "explore": 0.3}},
    "fedex": {"aggregation": "fedex"},
    "flora": {"aggregation": "flora"},
    "fedsa": {"aggregation": "fedsa", "participation": {"name": "random", "fraction": 1}},
    "rolora": {"aggregation": "rolora", "training": {"stateful": True}},
    "fedsvd": {"aggregation": "fedsvd"},
    "clustered": {
        "aggregation": {"name": "clustered", "warmup": 1},
        "participation": {"name": "random", "count": 4},
    },
    "ditto": {"personalisation": "ditto"},
    "feddpa-t": {"personalisation": "feddpa-t"},
    "afl": {"aggregation": "afl", "participation": {"name": "random", "fraction": 1}},
    "synchronous system": {"system": {"deadline_s": 5.0, "dropout": {"during": 0.2, "after": 0.2}}},
    "fedbuff": {
        "system": {"name": "fedbuff", "concurrency": 3, "buffer": 2},
        "participation": {"name": "random", "fraction": 1},
        "training": {"stateful": True},
    },
}


@pytest.mark.parametrize("name", CHANGES)
def test_an_interrupted_run_ends_as_if_it_had_not_been(tiny: dict[str, Any], name: str) -> None:
    changes = CHANGES[name]
    # A section's changes are on top of what the tiny config says there.
    training = {**tiny["training"], "steps": 2, **changes.get("training", {})}
    values = {**tiny, "evaluation": {"answers": 0}, **changes, "training": training}
    whole, broken = named(values, "whole"), named(values, "broken")
    execute(whole)
    with pytest.raises(KeyboardInterrupt):
        execute(broken, observers=[Stop(1)])
    execute(broken, resume=True)
    assert adapter_bytes(broken) == adapter_bytes(whole)
    assert kept_by_clients(broken) == kept_by_clients(whole)


def kept_by_clients(config: RunConfig) -> dict[str, Any]:
    """Return the rounds and checksums of what clients keep, some of which no adapter shows."""
    newest = max((config.run.directory / "checkpoints").glob("round-*"))
    kept: dict[str, Any] = json.loads((newest / "state.json").read_text())["clients"]
    return kept
