"""Which aggregation matters: a ladder of rules on equal budgets, each at its own best learning rate, over seeds.

    python scripts/algorithm_ladder.py tune  --scheme dolly-dirichlet --data databricks-dolly-15k.jsonl
    python scripts/algorithm_ladder.py run   --scheme dolly-dirichlet --data databricks-dolly-15k.jsonl
    python scripts/algorithm_ladder.py table --scheme dolly-dirichlet --data databricks-dolly-15k.jsonl

Schemes: dolly-dirichlet and dolly-shards (100 clients), ni (one task, one client; --test holds the unseen tasks). Every
client takes as many optimiser steps on as many examples, whatever the rule. `tune` runs each rule once at each of four
learning rates, on a seed that `run` does not use; `run` takes the best of these, or of those of another scheme
(--rates-of), and says which. What is held out is some of every category of Dolly, of Natural Instructions tasks that no
client has; `run` tests besides on examples that clients have kept of their own. All three go on where they were
stopped; several may run at once with --worker 0/2, --worker 1/2.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from shepherd.config import RunConfig, load_config
from shepherd.files import write_json
from shepherd.preparation import deal, evaluator_of
from shepherd.progress import RunProgress
from shepherd.randomness import generator
from shepherd.report.record import read_record
from shepherd.report.seeds import compare_over_seeds
from shepherd.report.seeds_figure import write_seeds_figure
from shepherd.report.seeds_table import document_tables
from shepherd.report.tables import markdown
from shepherd.runs import Run, load_run
from shepherd.runs import run as run_config
from shepherd.units import size

TUNING_SEED = 100
SEEN = "seen.json"


@dataclass(frozen=True)
class Rule:
    """A rung of the ladder.

    Attributes
    ----------
    rates : tuple of float
        Learning rates to try; a rule whose best is at an end wants more of them.
    changes : tuple of str
        What the rule changes in the config.
    adapter : tuple of str
        What it trains; LoRA without dropout by default.
    rate : str
        The key of the learning rate that is tuned: the clients', but for a rule that has more to do at the server.
    """

    rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2)
    changes: tuple[str, ...] = ()
    adapter: tuple[str, ...] = ("adapter.dropout=0",)
    rate: str = "training.lr"


RULES = {
    "fedavg": Rule(),
    "fedprox": Rule(changes=("training.correction.name=fedprox", "training.correction.mu=0.01")),
    "scaffold": Rule(changes=("training.correction.name=scaffold", "aggregation.name=scaffold")),
    "fedadam": Rule(changes=("aggregation.name=fedadam",), rate="aggregation.lr"),
    "ffa": Rule((3e-3, 1e-2, 3e-2, 1e-1), ("aggregation.name=ffa",)),
    "rolora": Rule(changes=("aggregation.name=rolora",)),
    "fedex": Rule(changes=("aggregation.name=fedex",)),
    "flora": Rule(changes=("aggregation.name=flora",)),
    "flexlora": Rule(changes=("aggregation.name=flexlora",)),
    "kseed": Rule(
        (3e-5, 1e-4, 3e-4, 1e-3), ("training.name=kseed", "training.optimizer=sgd"), ("adapter.name=kseed",)
    ),
    "full": Rule((1e-4, 3e-4, 1e-3, 3e-3), adapter=("adapter.name=full",)),
}
SCHEMES = {
    "dolly-dirichlet": ("allocation.name=dirichlet", "allocation.clients=100", "allocation.alpha=0.5"),
    "dolly-shards": ("allocation.name=shards", "allocation.clients=100"),
    "ni": ("data.columns={category: task}", "data.holdout.columns={category: task}"),
}
#: What clients train with where the server's rate is tuned: the best of fedavg's.
CLIENTS_RATE = {"dolly-dirichlet": 1e-2, "dolly-shards": 1e-2, "ni": 3e-3}


def config_of(options: argparse.Namespace, name: str, rate: float, seed: int, folder: str) -> RunConfig:
    rule = RULES[name]
    own = [f"data.holdout.path={options.test}"] if options.scheme == "ni" else []
    overrides = [
        f"seed={seed}",
        f"rounds={options.rounds}",
        f"model.base={options.base}",
        f"data.path={options.data}",
        f"data.max_tokens={options.max_tokens}",
        *SCHEMES[options.scheme],
        *own,
        f"participation.count={options.clients}",
        *rule.adapter,
        f"training.batch_size={options.batch}",
        f"training.steps={options.steps}",
        f"evaluation.every={options.rounds}",
        f"evaluation.rouge_every={options.rounds if folder == 'runs' else 'null'}",
        "evaluation.rouge_untuned=false",
        f"data.own_test={0.1 if folder == 'runs' else 0}",
        f"run.root={options.root}/{options.scheme}/{folder}/{rate:g}",
        f"run.store={options.root}/.encoded",
        f"run.name={name}-{seed}",
        f"run.threads={options.threads}",
        f"training.lr={CLIENTS_RATE[options.scheme]}",
        *rule.changes,
        f"{rule.rate}={rate}",
    ]
    return load_config(
        "fedhds-ni" if options.scheme == "ni" else "fedit-dolly", [*overrides, "coreset.name=full"]
    )


def is_done(config: RunConfig) -> bool:
    return (config.run.directory / "adapter").is_dir()


def tuning(options: argparse.Namespace) -> Iterator[RunConfig]:
    for name in options.rules:
        for rate in RULES[name].rates:
            yield config_of(options, name, rate, TUNING_SEED, "tuning")


def best_rate(options: argparse.Namespace, name: str) -> float:
    """Return the learning rate with the lowest loss at the end; a rule that was not tuned is refused."""
    tuned = argparse.Namespace(**{**vars(options), "scheme": options.rates_of or options.scheme})
    losses = {}
    for rate in RULES[name].rates:
        config = config_of(tuned, name, rate, TUNING_SEED, "tuning")
        if not is_done(config):
            sys.exit(f"{config.run.directory} is not there; run `tune` first.")
        losses[rate] = read_record(config.run.directory).final["loss"]
    return min(losses, key=lambda rate: losses[rate])


def ladder(options: argparse.Namespace) -> Iterator[RunConfig]:
    for name in options.rules:
        rate = best_rate(options, name)
        for seed in options.seeds:
            yield config_of(options, name, rate, seed, "runs")


def work(options: argparse.Namespace, configs: list[RunConfig]) -> None:
    worker, workers = map(int, options.worker.split("/"))
    for config in configs[worker::workers]:
        if not is_done(config):
            with RunProgress(Console(), config.run.name) as progress:
                run_config(config, resume=True, observers=[progress])
        if config.data.own_test and not (config.run.directory / SEEN).exists():
            test_on_seen(load_run(config.run.directory), options.seen)


def test_on_seen(run: Run, count: int) -> None:
    """Test a finished run on examples of its clients' own tests, and keep the figures beside it."""
    dealt = deal(run.config)
    rows = np.concatenate(list(dealt.own_tests))
    drawn = generator(run.config.seed, "ladder's seen test").permutation(rows)[:count]
    evaluator = evaluator_of(run.config, dealt.train.select(np.sort(drawn)), run.model)
    rounds = run.config.rounds
    line = evaluator.evaluate(run.model, run.adapter(), rounds, rounds).line
    write_json(run.directory / SEEN, {key: line[key] for key in ("loss", "rouge_l", "examples")})


def table(options: argparse.Namespace) -> None:
    """Print what each rule scores, and how it differs from the first, seed by seed."""
    configs = [config for config in ladder(options) if is_done(config)]
    comparison = compare_over_seeds([read_record(config.run.directory) for config in configs])
    sys.stdout.write(markdown(*document_tables(comparison)))
    write_scores(options)
    write_seeds_figure(comparison, Path(options.picture))


def write_scores(options: argparse.Namespace) -> None:
    """Print each rule's scores on what is held out and on what clients have kept, its rate, bytes and seconds."""
    heads = (
        "rule",
        "rate",
        "held-out loss",
        "ROUGE-L",
        "seen loss",
        "ROUGE-L",
        "up",
        "down",
        "rounds, s",
        "seeds",
    )
    sys.stdout.write(f"\n| {' | '.join(heads)} |\n{'|---' * len(heads)}|\n")
    for name in options.rules:
        rate = best_rate(options, name)
        folders = [config_of(options, name, rate, seed, "runs").run.directory for seed in options.seeds]
        done = [folder for folder in folders if (folder / SEEN).exists()]
        if done:
            seen = [json.loads((folder / SEEN).read_text()) for folder in done]
            records = [read_record(folder) for folder in done]
            cells = [
                f"`{name}`",
                f"{rate:g}",
                *(spread([record.final[key] for record in records]) for key in ("loss", "rouge_l")),
                *(spread([one[key] for one in seen]) for key in ("loss", "rouge_l")),
                size(statistics.mean(record.bytes_up for record in records)),
                size(statistics.mean(record.bytes_down for record in records)),
                f"{statistics.median(record.round_seconds for record in records):.0f}",
                str(len(done)),
            ]
            sys.stdout.write(f"| {' | '.join(cells)} |\n")


def spread(values: list[float]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.3f} ± {deviation:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("tune", "run", "table"))
    parser.add_argument("--scheme", choices=SCHEMES, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--test", help="the unseen tasks of Natural Instructions")
    parser.add_argument("--base", default="lamb")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--clients", type=int, default=10, help="clients a round")
    parser.add_argument("--steps", type=int, default=4, help="optimiser steps of a client in a round")
    parser.add_argument("--batch", type=int, default=4, help="examples of a step")
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--rules", type=lambda text: text.split(","), default=list(RULES))
    parser.add_argument("--rates-of", choices=SCHEMES, help="take the rates tuned on another scheme")
    parser.add_argument(
        "--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[0, 1, 2]
    )
    parser.add_argument("--seen", type=int, default=200, help="examples of clients' own tests to test on")
    parser.add_argument("--root", default="runs/ladder")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--worker", default="0/1")
    parser.add_argument("--picture", default="ladder.png")
    options = parser.parse_args()
    if options.scheme == "ni" and options.test is None:
        parser.error("--scheme ni wants the unseen tasks: --test FILE")
    {
        "tune": lambda: work(options, list(tuning(options))),
        "run": lambda: work(options, list(ladder(options))),
        "table": lambda: table(options),
    }[options.command]()


if __name__ == "__main__":
    main()
