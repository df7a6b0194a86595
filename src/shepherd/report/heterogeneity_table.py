"""The heterogeneity of the clients as a table for the terminal."""

from __future__ import annotations

import numpy as np
from rich.table import Table
from rich.text import Text

from shepherd.data.heterogeneity import Heterogeneity

_LARGEST = 3


def _largest_categories(h: Heterogeneity, client: int) -> str:
    """Return "summarization 61 %, open_qa 24 %" for the largest categories of a client."""
    shares = h.shares[client]
    largest = [k for k in np.argsort(-shares, kind="stable")[:_LARGEST] if shares[k] > 0]
    return ", ".join(f"{h.categories[k]} {shares[k]:.0%}" for k in largest)


def _caption(h: Heterogeneity, shown: int) -> Text:
    s = h.summary
    hidden = f"{h.population - shown:,} more clients are not shown. " if shown < h.population else ""
    return Text(
        f"{hidden}Examples: {s['examples_min']:,} to {s['examples_max']:,}, "
        f"median {s['examples_median']:,g}, Gini {s['examples_gini']:.2f}. "
        f"Entropy: mean {s['entropy_mean_nats']:.2f} nats, all clients together "
        f"{s['entropy_whole_nats']:.2f}. Divergence: Jensen-Shannon to all clients together, "
        f"mean {s['jensen_shannon_mean_nats']:.3f} nats of at most {np.log(2):.3f}."
    )


def heterogeneity_table(h: Heterogeneity, rows: int = 20) -> Table:
    """Return one line for each of the first `rows` clients and one for all together.

    Parameters
    ----------
    h : Heterogeneity
        What to show.
    rows : int
        Clients to show at most.
    """
    shown = min(rows, len(h.names))
    table = Table(title="Client data", caption=_caption(h, shown), show_footer=True)
    # Names come from the data, so they are Text: rich would read [brackets] in a str as markup.
    every = f"a sample of {len(h.names):,}" if h.sampled else "all"
    table.add_column("client", footer=every, overflow="fold")
    table.add_column("examples", footer=f"{h.summary['examples']:,}", justify="right")
    table.add_column("categories", footer=f"{h.summary['categories']:,}", justify="right")
    table.add_column("entropy", footer=f"{h.summary['entropy_whole_nats']:.2f}", justify="right")
    table.add_column("divergence", justify="right")
    table.add_column("largest categories", overflow="fold")
    for i in range(shown):
        numbers = (f"{h.examples[i]:,}", f"{h.classes[i]:,}", f"{h.entropy[i]:.2f}", f"{h.divergence[i]:.3f}")
        table.add_row(Text(h.names[i]), *numbers, Text(_largest_categories(h, i)))
    return table
