"""`shepherd allocate`: who holds what, as files, as a table and as a picture. No model is needed."""

from __future__ import annotations

import io
from pathlib import Path

from shepherd.config import RunConfig
from shepherd.data.client_files import write_client_files
from shepherd.data.heterogeneity import Heterogeneity
from shepherd.files import write_atomically, write_json
from shepherd.preparation import deal
from shepherd.report.heterogeneity_figure import heterogeneity_figure
from shepherd.report.tables import csv_text
from shepherd.run_directory import RunDirectory


def allocate(config: RunConfig) -> tuple[Heterogeneity, Path]:
    """Write the allocation of `config` into its run directory.

    Returns
    -------
    Heterogeneity
        How the clients differ.
    Path
        The run directory, with ``clients/`` (one JSONL file each, and the hold-out; not for more than
        10,000 clients), ``allocation.json``, ``heterogeneity.csv`` and ``heterogeneity.png``.

    Raises
    ------
    ShepherdError
        If the run directory holds a run of another config, or what is not ours.
    """
    directory = RunDirectory(config.run.directory)
    directory.open(config, resume=True)
    with directory.held():
        return _write(config, directory.path), directory.path


def _write(config: RunConfig, folder: Path) -> Heterogeneity:
    dealt = deal(config)
    found = dealt.heterogeneity()
    if not found.sampled:  # nobody wants a million files
        write_client_files(folder / "clients", dealt.train, dealt.test, dealt.allocated)
    write_json(folder / "allocation.json", found.to_dict())
    write_atomically(folder / "heterogeneity.csv", _as_csv(found))
    picture = io.BytesIO()
    heterogeneity_figure(found).savefig(picture, format="png", dpi=150, bbox_inches="tight")
    write_atomically(folder / "heterogeneity.png", picture.getvalue())
    return found


def _as_csv(found: Heterogeneity) -> str:
    clients = found.to_dict()["clients"]
    figures = [key for key in clients[0] if key != "counts"]
    categories = list(found.to_dict()["whole"])
    lines = (
        [*(client[key] for key in figures), *(client["counts"].get(category, 0) for category in categories)]
        for client in clients
    )
    return csv_text([*figures, *categories], lines)
