import io
import sys
import warnings

import numpy as np
import pytest
from rich.console import Console

from shepherd.data.heterogeneity import Heterogeneity
from shepherd.report.heterogeneity_figure import heterogeneity_figure
from shepherd.report.heterogeneity_table import heterogeneity_table


def population(clients: int, categories: int) -> Heterogeneity:
    random = np.random.default_rng(0)
    names = ["$a_{x", "_hidden", "[bold]b[/nope]", *(f"category {k} with a long name" for k in range(900))]
    counts = random.integers(1, 30, (clients, categories))
    return Heterogeneity([f"[/] client ${i}" for i in range(clients)], names[:categories], counts, clients)


@pytest.mark.parametrize(("clients", "categories"), [(1, 1), (3, 9), (12, 10), (40, 60)])
def test_any_population_is_drawn_without_a_warning(tmp_path, clients, categories):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = heterogeneity_figure(population(clients, categories))
        figure.savefig(tmp_path / "figure.png", dpi=40)
    assert (tmp_path / "figure.png").stat().st_size > 1000


def test_bars_are_the_counts_of_the_first_clients_and_the_legend_names_every_category():
    found = population(30, 5)
    figure = heterogeneity_figure(found, clients=7)
    bars = figure.axes[0].patches
    assert len(bars) == 7 * 5
    assert sum(bar.get_width() for bar in bars) == found.examples[:7].sum()
    assert figure.axes[0].get_title(loc="left") == "The first 7 of 30 clients"
    assert len(figure.legends[0].get_texts()) == 5


def test_beyond_the_palette_categories_are_one_grey_group():
    found = population(4, 60)
    figure = heterogeneity_figure(found)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(texts) == 10
    assert texts[-1] == "51 others"
    assert sum(bar.get_width() for bar in figure.axes[0].patches) == found.examples.sum()


def test_the_second_panel_compares_shares():
    figure = heterogeneity_figure(population(5, 4))
    widths = [bar.get_width() for bar in figure.axes[1].patches]
    assert sum(widths[:4]) == pytest.approx(100)
    assert sum(widths[4:]) == pytest.approx(100)


def test_pyplot_is_left_alone():
    if "matplotlib.pyplot" in sys.modules:
        from matplotlib import pyplot

        heterogeneity_figure(population(2, 2))
        assert pyplot.get_fignums() == []
    else:
        heterogeneity_figure(population(2, 2))
        assert "matplotlib.pyplot" not in sys.modules


def test_the_table_shows_the_first_clients_and_says_how_many_are_not_shown():
    found = population(30, 3)
    stream = io.StringIO()
    Console(file=stream, width=140).print(heterogeneity_table(found, rows=4))
    text = stream.getvalue()
    assert "[/] client $3" in text
    assert "client $4" not in text
    assert "26 more clients are not shown." in text
    assert "[bold]b[/nope]" in text
    assert f"{found.examples.sum():,}" in text
