"""FedHDS's study at the size of a laptop: what selection buys, on tasks nobody trained on.

    python scripts/fedhds_study.py run   --data ni-train.jsonl --test ni-test.jsonl   # Natural Instructions
    python scripts/fedhds_study.py table --data ni-train.jsonl --test ni-test.jsonl
    python scripts/fedhds_study.py run   --data databricks-dolly-15k.jsonl            # Dolly, summarization unseen

Full data, FedHDS as published (t-SNE of each client's own) and with a shared frame, FedHDS-Turbo, each beside as
many examples drawn blindly in the same rounds by the same clients, and by perplexity. `run` may be started several
times at once with --worker 0/2, --worker 1/2, and goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from shepherd.config import RunConfig, load_config
from shepherd.progress import RunProgress
from shepherd.report.record import read_record
from shepherd.report.seeds import compare_over_seeds
from shepherd.report.seeds_figure import write_seeds_figure
from shepherd.report.seeds_table import document_tables
from shepherd.report.tables import markdown
from shepherd.runs import run as run_config

#: The coresets, and of those that match another its name.
METHODS: dict[str, tuple[list[str], str | None]] = {
    "fedhds-shared": (["name=fedhds", "frame=shared"], None),
    "fedhds-tsne": (["name=fedhds", "frame=tsne"], None),
    "fedhds-turbo": (["name=fedhds-turbo", "frame=shared"], None),
    "fedhds-unique": (["name=fedhds", "frame=shared", "keep_unmatched=true"], None),
    "random-shared": (["name=random"], "fedhds-shared"),
    "random-tsne": (["name=random"], "fedhds-tsne"),
    "random-turbo": (["name=random"], "fedhds-turbo"),
    "random-unique": (["name=random"], "fedhds-unique"),
    "perplexity": (["name=perplexity"], "fedhds-shared"),
    "full": (["name=full"], None),
}


def study_config(options: argparse.Namespace, method: str, seed: int) -> RunConfig:
    coreset, matched = METHODS[method]
    if matched is not None:
        coreset = [*coreset, f"matched={options.root}/{matched}-{seed}"]
    natural_instructions = [
        "data.columns={category: task}",
        f"data.holdout.path={options.test}",
        "data.holdout.columns={category: task}",
        f"allocation.fraction={options.fraction}",
    ]
    overrides = [
        f"seed={seed}",
        f"rounds={options.rounds}",
        f"model.base={options.base}",
        f"data.path={options.data}",
        f"data.max_tokens={options.max_tokens}",
        *(natural_instructions if options.test else [f"allocation.alpha={options.alpha}"]),
        "participation.fraction=null",
        f"participation.count={options.clients}",
        "adapter.dropout=0",
        f"training.lr={options.lr_full if method == 'full' else options.lr}",
        "training.batch_size=8",
        f"evaluation.every={options.rounds // 4}",
        f"evaluation.rouge_every={options.rounds}",
        "evaluation.rouge_untuned=false",
        f"run.root={options.root}",
        f"run.name={method}-{seed}",
        f"run.threads={options.threads}",
        *(f"coreset.{setting}" for setting in coreset),
        *(["coreset.smallest_group=2"] if "fedhds" in coreset[0] else []),
    ]
    return load_config("fedhds-ni" if options.test else "fedhds-dolly", overrides)


def configs(options: argparse.Namespace) -> Iterator[RunConfig]:
    """Yield every run, those that others match first."""
    for method in options.methods:
        for seed in options.seeds:
            yield study_config(options, method, seed)


def run(options: argparse.Namespace) -> None:
    worker, workers = map(int, options.worker.split("/"))
    for config in list(configs(options)):
        if config.seed % workers != worker:
            continue
        if not (config.run.directory / "adapter").is_dir():
            with RunProgress(Console(), config.run.name) as progress:
                run_config(config, resume=True, observers=[progress])


def table(options: argparse.Namespace) -> None:
    folders = [config.run.directory for config in configs(options)]
    records = [read_record(folder) for folder in folders if (folder / "adapter").is_dir()]
    comparison = compare_over_seeds(records)
    sys.stdout.write(markdown(*document_tables(comparison)))
    write_seeds_figure(comparison, Path(options.picture))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("run", "table"))
    parser.add_argument("--data", required=True)
    parser.add_argument(
        "--test", help="the unseen tasks of Natural Instructions; without it the data are Dolly's"
    )
    parser.add_argument("--base", default="lamb")
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--clients", type=int, default=16, help="clients a round")
    parser.add_argument("--fraction", type=float, default=0.5, help="share of a task's rows its client keeps")
    parser.add_argument("--alpha", type=float, default=0.5, help="of Dolly's Dirichlet allocation")
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--lr", type=float, default=1e-2, help="of everything but full data")
    parser.add_argument("--lr-full", type=float, default=1e-3)
    parser.add_argument(
        "--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[0, 1, 2]
    )
    parser.add_argument("--methods", type=lambda text: text.split(","), default=list(METHODS))
    parser.add_argument("--root", default="runs/fedhds-study")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--worker", default="0/1")
    parser.add_argument("--picture", default="docs/fedhds-study.png")
    options = parser.parse_args()
    {"run": run, "table": table}[options.command](options)


if __name__ == "__main__":
    main()
