"""FedIT's study on Dolly at the size of a laptop: both allocation schemes, all baselines, several seeds.

    python scripts/dolly_study.py run   --data databricks-dolly-15k.jsonl --seeds 0,1,2
    python scripts/dolly_study.py table --seeds 0,1,2          # Markdown, and a picture of the curves

`run` may be started several times at once with --worker 0/2, --worker 1/2, and goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich.console import Console

from shepherd.baselines import CENTRALISED, baseline_configs, draw_clients
from shepherd.config import RunConfig, load_config
from shepherd.preparation import deal
from shepherd.progress import RunProgress
from shepherd.report.html import write_report
from shepherd.report.record import Record, read_record
from shepherd.runs import execute

SCHEMES = ("dirichlet", "shards")
MODELS = ("untuned", "alone (mean of three)", "alone (best of three)", "federated", "centralised")


def study_config(options: argparse.Namespace, scheme: str, seed: int) -> RunConfig:
    overrides = [
        f"seed={seed}",
        f"model.base={options.base}",
        f"data.path={options.data}",
        f"data.max_tokens={options.max_tokens}",
        f"allocation.name={scheme}",
        f"training.lr={options.lr}",
        f"run.root={options.root}",
        f"run.name={scheme}-{seed}",
        f"run.threads={options.threads}",
    ]
    return load_config("fedit-dolly", overrides)


def complete(config: RunConfig, console: Console) -> Record:
    """Run or resume `config` unless it is finished."""
    if not (config.run.directory / "adapter").is_dir():
        with RunProgress(console, f"{config.run.directory}") as progress:
            execute(config, resume=True, observers=[progress])
    return read_record(config.run.directory)


def run(options: argparse.Namespace) -> None:
    console = Console()
    worker, workers = map(int, options.worker.split("/"))
    groups = [(seed, scheme) for seed in options.seeds for scheme in SCHEMES]
    for seed, scheme in groups[worker::workers]:
        config = study_config(options, scheme, seed)
        federated = complete(config, console)
        dealt = deal(config)
        alone = draw_clients(3, len(dealt.allocated.names), seed)
        for label, baseline in baseline_configs(config, federated, dealt, alone, "rounds"):
            # What is pooled does not know how it was dealt: once per seed is enough.
            if label != CENTRALISED or scheme == SCHEMES[0]:
                complete(baseline, console)
        write_report(config.run.directory)


@dataclass(frozen=True)
class Finals:
    """What was trained of one seed."""

    untuned: Record
    alone: list[Record]
    federated: Record
    centralised: Record


def finals(options: argparse.Namespace, scheme: str, seed: int) -> Finals:
    federated = read_record(study_config(options, scheme, seed).run.directory)
    pooled = read_record(study_config(options, SCHEMES[0], seed).run.directory / "baselines" / CENTRALISED)
    found = federated.baselines()
    return Finals(
        untuned=next(record for record in found if record.label == "untuned"),
        alone=[record for record in found if record.label.startswith("alone")],
        federated=federated,
        centralised=pooled,
    )


def figures(records: Finals, what: str) -> dict[str, float]:
    """Return one figure of every model of one seed; `best` is the lowest loss of any evaluation."""

    def of(record: Record) -> float:
        return record.best["loss"] if what == "best" else record.final[what]

    alone = [of(record) for record in records.alone]
    best = max if what == "rouge_l" else min
    return {
        MODELS[0]: of(records.untuned),
        MODELS[1]: statistics.mean(alone),
        MODELS[2]: best(alone),
        MODELS[3]: of(records.federated),
        MODELS[4]: of(records.centralised),
    }


def table(options: argparse.Namespace) -> None:
    for scheme in SCHEMES:
        by_seed = [finals(options, scheme, seed) for seed in options.seeds]
        print(
            f"\n### {scheme}\n\n| model | loss, final | loss, best round | relative to federated | ROUGE-L |"
        )
        print("|---|---|---|---|---|")
        columns = {
            what: [figures(records, what) for records in by_seed] for what in ("loss", "best", "rouge_l")
        }
        for model in MODELS:
            cells = [spread([seed[model] for seed in columns[what]]) for what in ("loss", "best")]
            ratio = spread([seed[model] / seed["federated"] for seed in columns["loss"]])
            rouge = spread([seed[model] for seed in columns["rouge_l"]])
            print(f"| {model} | {cells[0]} | {cells[1]} | {ratio} | {rouge} |")
    draw(options)


def spread(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"


def draw(options: argparse.Namespace) -> None:
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, scheme in zip(figure.subplots(1, 2, sharey=True), SCHEMES, strict=True):
        for position, seed in enumerate(options.seeds):
            records = finals(options, scheme, seed)
            lines = [
                ("C0", [records.federated], "federated"),
                ("C2", [records.centralised], "centralised"),
            ]
            for colour, members, name in [*lines, ("C1", records.alone, "one client alone")]:
                for number, record in enumerate(members):
                    label = name if position == number == 0 else None
                    axes.plot(*record.curve("loss"), color=colour, alpha=0.7, label=label)
        axes.set(title=scheme, xlabel="round", ylabel="held-out loss, nats per response token")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()
    figure.savefig(options.picture, dpi=120)
    print(f"\n{options.picture}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("run", "table"))
    parser.add_argument("--data", default="databricks/databricks-dolly-15k")
    parser.add_argument("--base", default="lamb")
    parser.add_argument(
        "--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[0, 1, 2]
    )
    parser.add_argument("--lr", type=float, default=1e-2)
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--root", default="runs/dolly-study")
    parser.add_argument("--worker", default="0/1")
    parser.add_argument("--picture", type=Path, default=Path("dolly-study.png"))
    options = parser.parse_args()
    {"run": run, "table": table}[options.command](options)


if __name__ == "__main__":
    main()
