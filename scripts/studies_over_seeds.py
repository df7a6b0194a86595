"""What the same study comes to over several seeds: one study's folder for each seed, means ± sample deviations.

    python scripts/studies_over_seeds.py scores STUDY-0 STUDY-1 STUDY-2                  # every metric
    python scripts/studies_over_seeds.py scores STUDY-0 STUDY-1 STUDY-2 --by language    # the loss, group by group
    python scripts/studies_over_seeds.py judged STUDY-0 STUDY-1 STUDY-2 --judge rules --against federated --count 20

Prints Markdown. The intervals over questions are `shepherd score`'s and `shepherd judge`'s; these are over seeds.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

from shepherd.evaluation.group_scores import by_group
from shepherd.evaluation.groups import group
from shepherd.evaluation.scores import scores
from shepherd.judge.results import judge_results
from shepherd.study.directory import Study

_NOISE = "inside the noise"
Cells = dict[str, dict[str, list[float]]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("scores", "judged"))
    parser.add_argument("studies", nargs="+", type=Path)
    parser.add_argument("--by", help="group by this column, by the loss")
    parser.add_argument("--judge", help="the judge's folder")
    parser.add_argument("--against", help="the judge's reference")
    parser.add_argument("--count", type=int, help="so many questions, as `shepherd judge --count` draws them")
    options = parser.parse_args()
    studies = [Study(path) for path in options.studies]
    if options.what == "judged":
        cells = judged(studies, options.judge, options.against, options.count)
    else:
        cells = grouped(studies, options.by) if options.by else measured(studies)
    print_cells(cells)


def measured(studies: Sequence[Study]) -> Cells:
    """Return every model's metrics, seed by seed."""
    cells: Cells = {}
    for study in studies:
        for model in scores(study).models:
            for metric, figure in model.measured.items():
                cells.setdefault(model.label, {}).setdefault(metric, []).append(figure.mean)
    return cells


def grouped(studies: Sequence[Study], column: str) -> Cells:
    """Return every model's loss in every group, seed by seed; the groups are the rows."""
    cells: Cells = {}
    for study in studies:
        grouping = group(study.questions(), column)
        for model in by_group(scores(study), grouping, "loss"):
            for name, interval in model.groups.items():
                cells.setdefault(name, {}).setdefault(model.label, []).append(interval.estimate)
            summed = {"average of groups": model.average, "worst group": model.groups[model.worst]}
            for name, interval in summed.items():
                cells.setdefault(name, {}).setdefault(model.label, []).append(interval.estimate)
    return cells


def judged(studies: Sequence[Study], judge: str, reference: str, count: int | None) -> Cells:
    """Return what the judge made of every model beside the reference, seed by seed."""
    cells: Cells = {}
    for study in studies:
        for model in judge_results(study, judge, reference, count=count).models:
            figures = {
                "sum": model.model_sum,
                f"sum of {reference}": model.reference_sum,
                f"{reference} / model": model.reference_over_model.estimate,
                _NOISE: float(model.inside_noise),
                "win rate": model.win_rate.estimate,
                "words": model.words,
            }
            if model.position_bias is not None:
                figures["position bias"] = model.position_bias.estimate
            for name, value in figures.items():
                cells.setdefault(model.label, {}).setdefault(name, []).append(value)
    return cells


def print_cells(cells: Cells) -> None:
    columns = list(next(iter(cells.values())))
    print("| | " + " | ".join(columns) + " |")
    print("|---|" + "---|" * len(columns))
    for row, figures in cells.items():
        print(f"| {row} | " + " | ".join(told(column, figures.get(column, [])) for column in columns) + " |")


def told(column: str, values: Sequence[float]) -> str:
    if column == _NOISE:
        return f"{sum(values):.0f} of {len(values)}"
    if len(values) < 2:
        return f"{values[0]:.3f}" if values else ""
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"


if __name__ == "__main__":
    main()
