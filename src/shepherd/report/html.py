"""The report of a run: one HTML file that needs no network, no script and no other file."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from shepherd.data.heterogeneity import Heterogeneity
from shepherd.errors import ShepherdError
from shepherd.files import write_atomically
from shepherd.report import figures
from shepherd.report.bytes_figure import bytes_figure, sends
from shepherd.report.comparison import Comparison, compare
from shepherd.report.comparison_table import category_table, comparison_table
from shepherd.report.drawing import drawn
from shepherd.report.grid import grid
from shepherd.report.heterogeneity_figure import heterogeneity_figure
from shepherd.report.heterogeneity_table import heterogeneity_table
from shepherd.report.pages import page
from shepherd.report.personal_section import personal_section
from shepherd.report.record import Record, read_record
from shepherd.report.round_figures import round_figures
from shepherd.report.selection_section import selection_section
from shepherd.report.side_by_side import side_by_side
from shepherd.report.summary import base_name, is_of_sites, section, sentences
from shepherd.report.system_section import system_section
from shepherd.units import count, duration, fixed, percent, size, whole

_MOST_CATEGORIES = 60
_MOST_CONFIG_LETTERS = 200_000


def write_report(run_directory: Path) -> Path:
    """Write `report.html` into a run directory.

    Parameters
    ----------
    run_directory : Path
        A folder that `shepherd run` wrote; baselines in it become part of the report.

    Returns
    -------
    Path
        The report.

    Raises
    ------
    ShepherdError
        If the folder is no run directory, is damaged, or holds no evaluation yet.
    """
    folder = Path(run_directory)
    if not (folder / "config.yaml").is_file():  # whoever asks for a report may mean a study
        what = "is neither a run nor a study" if folder.is_dir() else "is not there"
        raise ShepherdError(
            f"{folder} {what}; give the folder of a run, such as runs/NAME, or of a study, such as studies/NAME."
        )
    path = folder / "report.html"
    write_atomically(path, page("run.html.j2", **_content(read_record(folder))))
    return path


def _content(record: Record) -> dict[str, Any]:
    """Return everything the template shows."""
    baselines, clients = record.baselines(), _heterogeneity(record.path)
    models = _models(record, baselines)
    dealt = {} if is_of_sites(record) else section(record, "allocation")
    known = clients.population if clients else dealt.get("clients")
    return {
        "title": record.label,
        "summary": sentences(record, baselines, known if isinstance(known, int) else None),
        "unfinished": record.unfinished_baselines(),
        "facts": _facts(record),
        "clients": _clients(clients) if clients else None,
        "pictures": _pictures(models[0], models[1:]),
        "round_figures": grid(told) if (told := round_figures(record)) else None,
        "selection": selection_section(record),
        "system": system_section(record),
        "personal": personal_section(record),
        "comparison": _comparison(compare(models)) if len(models) > 1 else None,
        "has_baselines": bool(baselines),
        "questions": side_by_side(models),
        "traffic": _traffic(record),
        "environment": _flat(record.environment),
        "config": _config(record),
    }


def _models(record: Record, baselines: Sequence[Record]) -> list[Record]:
    """Return the federated run, then what it is compared with; the untuned base even without baselines."""
    others = list(baselines)
    untuned = record.as_untuned()
    if untuned is not None and record.rounds > 0 and all(other.label != "untuned" for other in others):
        others.insert(0, untuned)
    return [replace(record, label="federated"), *others]


def _heterogeneity(path: Path) -> Heterogeneity | None:
    file = path / "allocation.json"
    if not file.exists():
        return None
    try:
        return Heterogeneity.from_dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ShepherdError(f"{file} is damaged and cannot be read; restore it or repeat the run.") from error


def _facts(record: Record) -> list[tuple[str, str]]:
    """Return FedIT's Table 2 as pairs of a heading and a value."""
    parameters = record.environment.get("parameters") or {}
    frozen, trainable = parameters.get("frozen"), parameters.get("trainable")
    share = trainable / (frozen + trainable) if frozen and trainable is not None else None
    return [
        ("Base model", base_name(record)),
        ("Parameters frozen", count(frozen)),
        ("Parameters trainable", count(trainable)),
        ("Share trainable", percent(share)),
        ("Rounds", whole(record.rounds)),
        ("Training time", duration(record.training_seconds)),
        ("Peak memory", size(record.peak_memory_bytes)),
    ]


def _clients(clients: Heterogeneity) -> dict[str, Any]:
    s = clients.summary
    described = (
        f"Stacked bars of how many examples of each category each of {len(clients.names):,} clients holds, "
        "and the category shares of one typical client beside those of all clients together."
    )
    measured = f" of {len(clients.names):,} sampled clients" if clients.sampled else ""
    return {
        "picture": drawn(heterogeneity_figure(clients), "clients", described),
        "facts": [
            ("Clients", whole(s["clients"])),
            (f"Examples{measured}", whole(s["examples"])),
            ("Categories", whole(s["categories"])),
            ("Examples a client", f"{whole(s['examples_min'])} – {whole(s['examples_max'])}"),
            ("Categories a client", f"{whole(s['classes_min'])} – {whole(s['classes_max'])}"),
            ("Divergence, mean", f"{fixed(s['jensen_shannon_mean_nats'])} of {math.log(2):.3f}"),
        ],
        "table": grid(heterogeneity_table(clients, rows=20)),
    }


def _pictures(record: Record, others: Sequence[Record]) -> list[Markup]:
    names = ", ".join(other.label for other in others) or "no other model"
    spoken = f"from {fixed(record.scope('global')[0]['loss'])} to {fixed(record.final['loss'])}"
    loss = figures.loss_figure(record, others)
    pictures = [drawn(loss, "loss", f"Hold-out loss against rounds, {spoken}; beside it {names}.")]
    rouge = figures.rouge_figure(record, others)
    if rouge is not None:
        pictures.append(drawn(rouge, "rouge", f"ROUGE-L of the answers against rounds; beside it {names}."))
    return pictures + (_round_pictures(record) if record.scope("round") else [])


def _round_pictures(record: Record) -> list[Markup]:
    local = "Local training loss of every client in every round, and the mean of the round."
    up, down = size(record.bytes_up), size(record.bytes_down)
    paid = f"Hold-out loss against the bytes sent so far, {up} by clients and {down} to them in all."
    traffic = f"Bytes sent so far, {up} up and {down} down in all, and training speed, against rounds."
    return [
        drawn(figures.client_figure(record), "local", local),
        drawn(figures.traffic_figure(record), "traffic", traffic),
        *([drawn(bytes_figure(record), "paid", paid)] if sends(record) else []),
    ]


def _comparison(comparison: Comparison) -> dict[str, Any]:
    losses = "; ".join(f"{row.label} {fixed(row.loss)}" for row in comparison.rows)
    picture = drawn(figures.comparison_figure(comparison), "compare", f"Final hold-out loss: {losses}.")
    by_category = [category_table(comparison)] if comparison.categories else []
    if any(row.rouge_l_by_category for row in comparison.rows):
        by_category.append(category_table(comparison, "rouge_l"))
    tables = [grid(table, _MOST_CATEGORIES) for table in by_category]
    return {
        "picture": picture,
        "table": grid(comparison_table(comparison)),
        "by_category": tables,
        "has_ratios": not comparison.reference.keeps_own_parts,
    }


def _traffic(record: Record) -> list[tuple[str, str]]:
    if not record.scope("round"):
        return []
    return [
        ("Examples trained on", whole(record.examples)),
        ("Clients to server", size(record.bytes_up)),
        ("Server to clients", size(record.bytes_down)),
        ("Training time", duration(record.training_seconds)),
        ("With evaluation", duration(record.total_seconds)),
    ]


def _flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Return nested mappings as (dotted key, value) lines."""
    if not isinstance(value, dict):
        return [(prefix, str(value))]
    return [
        pair
        for key, inner in value.items()
        for pair in _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    ]


def _config(record: Record) -> str:
    text = yaml.safe_dump(record.config, sort_keys=False, allow_unicode=True)
    return text if len(text) <= _MOST_CONFIG_LETTERS else text[:_MOST_CONFIG_LETTERS] + "\n… see config.yaml"
