"""What choosing costs beside what it saves: seconds of a round on full data, and with each way of choosing.

    python benchmarks/selection.py                     # on the embedded instructions
    python benchmarks/selection.py --data natural-instructions-train.jsonl --field task --max-tokens 512

The same clients take part in every round, and the coresets take turns round by round, so that a noisy machine is noisy
to all. In its first round FedHDS-Turbo looks at every example, later it uses what it kept; both are shown.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from contextlib import ExitStack
from statistics import median

from shepherd.backend import LocalBackend
from shepherd.client import ClientSide
from shepherd.config import RunConfig, load_config
from shepherd.federation import Federation
from shepherd.machine import describe_machine
from shepherd.metrics import Line
from shepherd.preparation import Prepared, prepare
from shepherd.state import RunState

CORESETS = {
    "full": {"name": "full"},
    "random": {"name": "random", "ratio": 0.02},
    "perplexity": {"name": "perplexity", "ratio": 0.02},
    "fedhds, t-SNE": {"name": "fedhds", "frame": "tsne"},
    "fedhds, shared": {"name": "fedhds", "frame": "shared"},
    "fedhds-turbo": {"name": "fedhds-turbo"},
}


def base_config(options: argparse.Namespace, root: str) -> RunConfig:
    return load_config(
        "fedhds-ni" if options.field else "quickstart",
        [
            f"data.path={options.data}",
            f"data.max_tokens={options.max_tokens}",
            *(
                [f"data.columns={{category: {options.field}}}", "allocation.fraction=1"]
                if options.field
                else ["allocation.clients=12"]
            ),
            "data.holdout={name: fraction, fraction: 0.02}",
            "adapter.dropout=0",
            f"participation={{name: only, clients: {list(range(options.clients))}}}",
            "rounds=100",
            "training.batch_size=8",
            f"run.root={root}",
        ],
    )


def federation(config: RunConfig, prepared: Prepared, lines: list[Line]) -> Federation:
    def commit(state: RunState, found: list[Line]) -> RunState:
        lines.extend(found)
        return state

    model, population = prepared.model, prepared.population
    backend = LocalBackend(model, population, ClientSide.of(config))
    config.coreset.prepare(model)
    return Federation(
        config, backend, population.names, population.sizes, lambda adapter, round, residual: None, commit
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="meadow")
    parser.add_argument("--field", help="the field that names the clients")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=4, help="after one that warms up")
    options = parser.parse_args()

    with ExitStack() as stack:
        config = base_config(options, stack.enter_context(tempfile.TemporaryDirectory()))
        prepared = prepare(config)
        lines: dict[str, list[Line]] = {name: [] for name in CORESETS}
        loops, states = {}, {}
        for name, settings in CORESETS.items():
            own = RunConfig.model_validate({**config.resolved(), "coreset": settings})
            loops[name] = federation(own, prepared, lines[name])
            states[name] = loops[name].begin(prepared.model.initial)
        for _ in range(options.rounds + 1):
            for name, loop in loops.items():
                states[name] = loop.round(states[name])
    show(prepared, {name: [line for line in own if line["scope"] == "round"] for name, own in lines.items()})


def show(prepared: Prepared, rounds: dict[str, list[Line]]) -> None:
    """Print the table, and the same as JSON. The first round is only shown for what looks once."""
    shown = {name: own[1:] for name, own in rounds.items()}
    shown["fedhds-turbo, first time"] = rounds["fedhds-turbo"][:1]
    held = rounds["full"][0]["examples_held"]
    print(describe_machine(prepared.model.device))
    print(f"{held:,} examples of {rounds['full'][0]['clients']} clients\n")
    print("| coreset | examples trained on | selection, s | training, s | share of the full round |")
    print("|---|---|---|---|---|")
    full = [line["machine"]["seconds"] for line in shown["full"]]
    table = {}
    for name, own in shown.items():
        seconds = [line["machine"]["seconds"] for line in own]
        choosing = median(line["machine"]["selection_seconds"] for line in own)
        share = median(mine / theirs for mine, theirs in zip(seconds, full, strict=False))
        examples = sum(line["selected"] for line in own) / len(own)
        line = {
            "examples": examples,
            "selection_seconds": choosing,
            "training_seconds": median(seconds) - choosing,
            "share": share,
        }
        table[name] = line
        print(
            f"| {name} | {examples:.1f} ({examples / held:.1%}) | {choosing:.2f} | "
            f"{line['training_seconds']:.2f} | {share:.0%} |"
        )
    print(json.dumps(table))


if __name__ == "__main__":
    main()
