from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from html_page import Page
from rich.console import Console
from rich.table import Table

from shepherd.errors import ShepherdError
from shepherd.report.comparison import Comparison, Row, compare
from shepherd.report.comparison_table import (
    category_table,
    comparison_table,
    cost_table,
    document_tables,
    to_csv,
)
from shepherd.report.latex import escaped, latex
from shepherd.report.narrow import in_parts
from shepherd.report.record import read_record
from shepherd.report.table_files import FORMS, Document, form_of, write_document
from shepherd.report.tables import markdown

MakeRun = Callable[..., Path]


@pytest.fixture
def comparison(compared_run: Path) -> Comparison:
    record = read_record(compared_run)
    return compare([record, *record.baselines()])


def _printed(table: Table) -> list[str]:
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(table)
    return console.export_text().splitlines()


def test_the_first_run_is_the_reference(comparison: Comparison) -> None:
    reference, untuned = comparison.rows[:2]
    assert comparison.reference is reference
    assert reference.relative_loss == reference.relative_rouge_l == 1.0
    assert untuned.relative_loss == pytest.approx(untuned.loss / reference.loss)
    assert untuned.relative_loss is not None
    assert untuned.relative_loss > 1
    assert untuned.relative_rouge_l is not None
    assert untuned.relative_rouge_l > 1
    assert untuned.examples == 0


def test_other_holdouts_are_refused_by_name(run: Path, make_run: MakeRun, tmp_path: Path) -> None:
    ours = read_record(run)
    other = read_record(make_run(tmp_path / "stranger", fingerprint="zzz"))
    with pytest.raises(ShepherdError, match="stranger cannot be compared"):
        compare([ours, other])
    with pytest.raises(ShepherdError, match="no run to compare"):
        compare([])


def test_runs_of_one_name_are_told_apart(run: Path, make_run: MakeRun, tmp_path: Path) -> None:
    other = read_record(make_run(tmp_path / "elsewhere" / "quickstart"))
    labels = [row.label for row in compare([read_record(run), other]).rows]
    assert labels == [str(run), str(tmp_path / "elsewhere" / "quickstart")]


def test_baselines_of_two_runs_are_told_apart(compared_run: Path, make_run: MakeRun, tmp_path: Path) -> None:
    other = make_run(tmp_path / "second")
    make_run(other / "baselines" / "untuned", rounds=0)
    records = [r for run in map(read_record, (compared_run, other)) for r in (run, *run.baselines())]
    labels = [row.label for row in compare(records).rows]
    assert labels[:3] == ["quickstart", "quickstart/untuned", "alone-client-00"]
    assert labels[-2:] == ["second", "second/untuned"]


def test_different_bases_are_pointed_out(run: Path) -> None:
    record = read_record(run)
    other = replace(record, environment={**record.environment, "base_model": {"fingerprint": "other"}})
    assert "base models differ" in markdown(*document_tables(compare([record, other])))
    assert "base models differ" not in markdown(*document_tables(compare([record, record])))


def test_the_terminal_table_fits_and_marks_the_best(comparison: Comparison) -> None:
    lines = _printed(comparison_table(comparison))
    assert max(map(len, lines)) <= 100
    assert any(line.split()[:2] == ["alone-client-00", "320"] for line in lines)
    losses = list(comparison_table(comparison).columns[2].cells)
    assert [getattr(cell, "style", "") for cell in losses] == ["", "", "", "", "bold"]


def test_all_that_print_like_the_best_are_marked_and_none_where_all_do(comparison: Comparison) -> None:
    ours, near, worse = comparison.rows[:3]
    rows = [
        replace(ours, loss=3.0001, best_loss=3.0001, best_round=2),
        replace(near, loss=3.0004, best_loss=3.0004, best_round=7),
        replace(worse, loss=3.1, best_loss=3.1),
    ]
    assert [_bold(rows, heading) for heading in ("Loss", "Best (round)")] == [[True, True, False]] * 2
    assert _bold(rows[:2], "Loss") == _bold(rows[:1], "Loss") * 2 == [False, False]
    dashed = [replace(row, perplexity=value) for row, value in zip(rows, (20.0, None, 21.0), strict=True)]
    assert _bold(dashed, "Perplexity") == [True, False, False]


def _bold(rows: list[Row], heading: str) -> list[bool]:
    table = comparison_table(Comparison(rows))
    (column,) = (column for column in table.columns if str(column.header) == heading)
    return [getattr(cell, "style", "") == "bold" for cell in column.cells]


@pytest.mark.parametrize("width", [60, 80, 100, 400])
def test_many_models_are_shown_in_parts_that_fit_without_breaking_a_word(
    comparison: Comparison, width: int
) -> None:
    rows = [replace(comparison.reference, label=f"the-model-number-{k}") for k in range(9)]
    console = Console(width=width, file=io.StringIO())
    for table in (comparison_table(Comparison(rows)), category_table(Comparison(rows))):
        console.print(*in_parts(table, console))
        parts = [part for part in in_parts(table, console) if isinstance(part, Table)]
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert all(len(line.rstrip()) <= width for line in text.splitlines())
        words = {word for column in table.columns for word in str(column.header).split()}
        words |= {str(cell) for column in table.columns for cell in column.cells}
        words |= set(str(table.caption).split())
        assert all(word in text for word in words)
        headings = [str(column.header) for part in parts for column in part.columns[1:]]
        assert headings == [str(column.header) for column in table.columns[1:]]
        assert [bool(part.title) for part in parts] == [True] + [False] * (len(parts) - 1)
        assert (len(parts) == 1) == (width == 400 or (width == 100 and table.columns[0].header == "Model"))
        sizes = {len(part.columns) for part in parts}
        assert width < 80 or max(sizes) - min(sizes) <= 1


def test_who_keeps_parts_is_named_and_never_the_best(comparison: Comparison) -> None:
    reference, *_, pooled = comparison.rows
    untold = replace(pooled, label="fs", keeps_own_parts=True)
    table = comparison_table(Comparison([*comparison.rows[:-1], untold]))
    assert "Never marked as best: fs, of which parts are each client's own" in str(table.caption)
    for heading in ("Loss", "Best (round)", "Perplexity"):
        assert not _bold([*comparison.rows[:-1], untold], heading)[-1]
    assert _bold([reference, comparison.rows[1], untold], "Loss") == [True, False, False]
    # one that prints like the best is not marked either
    assert (
        _bold([reference, comparison.rows[1], replace(reference, keeps_own_parts=True)], "Loss")[2] is False
    )
    by_category = category_table(Comparison([*comparison.rows[:-1], untold]))
    assert not any(getattr(cell, "style", "") == "bold" for cell in by_category.columns[-1].cells)
    caption = str(comparison_table(Comparison([untold, *comparison.rows])).caption)
    assert "A ratio above 1" not in caption
    assert "Never marked" not in str(comparison_table(comparison).caption)


def test_whether_parts_are_clients_own_is_read_from_the_run(run: Path) -> None:
    record = read_record(run)
    assert not compare([record]).rows[0].keeps_own_parts
    own = replace(record, environment=record.environment | {"adapter": {"own_parameters": 64}})
    untuned = own.as_untuned()
    assert untuned is not None
    assert [row.keeps_own_parts for row in compare([own, untuned]).rows] == [True, False]


def test_held_out_pairs_have_columns(run: Path, make_run: MakeRun, tmp_path: Path) -> None:
    plain = read_record(run)
    figures = {"preference_accuracy": 0.75, "preference_margin": 0.125}
    pairs = read_record(make_run(tmp_path / "dpo"))
    pairs = replace(pairs, metrics=[*pairs.metrics, {**pairs.final, **figures}])
    assert "Pairs right" not in _headings(comparison_table(compare([plain])))
    other = replace(
        pairs, label="less", metrics=[*pairs.metrics, {**pairs.final, "preference_accuracy": 0.5}]
    )
    rows = compare([plain, pairs, other]).rows
    table = comparison_table(Comparison(rows))
    assert [str(cell) for cell in table.columns[_headings(table).index("Pairs right")].cells] == [
        *("–", "0.750", "0.500")
    ]
    assert _bold(rows, "Pairs right") == [False, True, False]
    assert _bold(rows, "Margin") == [False] * 3
    assert "The loss of a run with training.name=dpo is that of the chosen answers," in str(table.caption)
    assert "dpo" not in str(comparison_table(compare([plain])).caption)
    _, line, _ = csv.DictReader(io.StringIO(to_csv(Comparison(rows))))
    assert (line["preference_accuracy"], line["preference_margin"]) == ("0.75", "0.125")


def test_simulated_time_is_a_cost(comparison: Comparison) -> None:
    assert "Simulated time" not in _headings(cost_table(comparison))
    reference, *others = comparison.rows
    table = cost_table(Comparison([replace(reference, simulated_hours=1.5), *others]))
    place = _headings(table).index("Simulated time")
    assert [str(cell) for cell in table.columns[place].cells] == ["1 h 30 min", *["–"] * 4]
    assert "Simulated time: that of the whole run" in str(table.caption)


def _headings(table: Table) -> list[str]:
    return [str(column.header) for column in table.columns]


def test_a_run_without_rouge_or_categories_still_compares(comparison: Comparison) -> None:
    bare = Comparison(
        [
            replace(row, rouge_l=None, relative_rouge_l=None, loss_by_category={}, rouge_l_by_category={})
            for row in comparison.rows
        ]
    )
    assert "ROUGE" not in markdown(*document_tables(bare))
    assert "category" not in markdown(*document_tables(bare))


def test_markdown_escapes_names(comparison: Comparison) -> None:
    odd = Comparison([replace(comparison.reference, label="a|b <i>\n[bold]x"), *comparison.rows[1:]])
    text = markdown(*document_tables(odd))
    assert "| a\\|b &lt;i> [bold]x |" in text
    widths = {line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 3  # the overall table, the costs, and those by category


def test_what_every_model_cost_has_its_bytes_and_baselines_send_none(comparison: Comparison) -> None:
    columns = {str(column.header): list(map(str, column.cells)) for column in cost_table(comparison).columns}
    assert columns["Model"] == [row.label for row in comparison.rows]
    assert columns["Up"] == columns["Down"] == ["12.0 MB", "–", "–", "–", "–"]
    assert columns["Time"] == ["1 min 20 s", "–", "1 min 20 s", "1 min 20 s", "1 min 20 s"]
    lines = list(csv.DictReader(io.StringIO(to_csv(comparison))))
    assert [line["bytes_up"] for line in lines] == ["12000000", "", "", "", ""]
    assert [line["round_seconds"] for line in lines] == ["80.0", "", "80.0", "80.0", "80.0"]


def test_csv_holds_every_figure_unrounded(comparison: Comparison) -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(comparison))))
    assert [line["model"] for line in lines] == [row.label for row in comparison.rows]
    assert float(lines[1]["loss"]) == comparison.rows[1].loss
    assert float(lines[0]["rouge_l[open_qa]"]) == comparison.reference.rouge_l_by_category["open_qa"]


#: Every character that LaTeX takes for itself, with what prints it (texdoc usrguide; Lamport, section 2.5).
SPECIAL = {
    "#": "\\#", "$": "\\$", "%": "\\%", "&": "\\&", "_": "\\_", "{": "\\{", "}": "\\}",
    "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "\\": "\\textbackslash{}",
    "<": "\\textless{}", ">": "\\textgreater{}", "|": "\\textbar{}", "`": "\\textasciigrave{}",
}  # fmt: skip


@pytest.mark.parametrize(("sign", "printed"), SPECIAL.items())
def test_latex_escapes_every_special_character(sign: str, printed: str) -> None:
    assert escaped(sign) == printed
    assert escaped(f"a{sign}{sign}b") == f"a{printed}{printed}b"


def test_latex_escapes_whole_words() -> None:
    assert escaped("".join(SPECIAL)) == "".join(SPECIAL.values())
    assert escaped("a--b---c-d") == "a-{}-b-{}-{}-c-d"
    assert escaped("3.1 ± 0.2 – ≈ × 5…") == r"3.1 $\pm$ 0.2 -- $\approx$ $\times$ 5\ldots{}"
    assert escaped(" two\n\tlines\x00\u202e ") == "two lines"
    assert escaped("овца") == "овца"


def _latex_rows(text: str) -> list[list[str]]:
    inner = re.findall(r"\\toprule\n(.*?)\\bottomrule", text, re.DOTALL)
    lines = [line.strip() for part in inner for line in part.strip().splitlines() if "\\midrule" not in line]
    assert all(line.endswith("\\\\") for line in lines)
    return [re.split(r" (?<!\\)& ", line[:-2].strip()) for line in lines]


def test_latex_is_a_float_with_booktabs_rules(comparison: Comparison) -> None:
    table = comparison_table(comparison)
    text = latex([table])
    rows = _latex_rows(text)
    assert {len(row) for row in rows} == {len(table.columns)}
    assert len(rows) == 1 + len(comparison.rows)
    assert [row[0] for row in rows] == ["Model", *(row.label for row in comparison.rows)]
    assert rows[-1][2] == rf"\textbf{{{comparison.rows[-1].loss:.3f}}}"  # the lowest loss
    assert r"\begin{tabular}{l" + "r" * (len(table.columns) - 1) + "}" in text
    assert "\\label{tab:the-models-on-the-held-out-questions}" in text
    assert text.index("\\caption{The models on the held-out questions. Loss in nats") < text.index("\\label")
    for part in ("table", "tabular"):
        assert text.count(f"\\begin{{{part}}}") == text.count(f"\\end{{{part}}}") == 1
    assert text.count("{") == text.count("}")
    labels = re.findall(r"\\label\{(.*?)\}", latex(document_tables(comparison)))
    assert len(labels) == len(set(labels)) == 4


def test_latex_keeps_rows_and_signs_apart(comparison: Comparison) -> None:
    rows = [replace(comparison.reference, label=label) for label in ("[0.5] a & b", "*", "x")]
    written = _latex_rows(latex([comparison_table(Comparison(rows))]))
    assert [row[0] for row in written[1:]] == [r"{}[0.5] a \& b", "{}*", "x"]
    table = Table("name-1", title=None, caption=None)
    table.add_column("value", justify="right")
    table.add_row("a-1", "-0.5 to -1e-5")
    text = latex([table])
    assert "a-1 & $-$0.5 to $-$1e-5" in text  # a minus where it is one, no hyphen of an exponent or a name
    assert "None" not in text


def test_a_page_needs_nothing_else(comparison: Comparison) -> None:
    named = Comparison([replace(comparison.reference, label="<i>a</i> & b"), *comparison.rows[1:]])
    text = Document("A <title>", document_tables(named), "").written("html")
    page = Page(text)
    assert page.open == []
    assert page.names.count("table") == page.names.count("h2") == 4
    assert page.names.count("tr") == 2 * (1 + len(named.rows)) + 2 * (1 + len(named.categories))
    assert {"script", "link", "i", "a", "img"}.isdisjoint(page.names)
    assert "<i>a</i> & b" in page.text
    assert "http" not in re.sub(r"http-equiv", "", text)
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text
    assert f"<strong>{named.rows[-1].loss:.3f}</strong>" in text


@pytest.mark.parametrize(
    ("form", "name", "meant"),
    [
        (None, None, "table"),
        (None, "a/b.tex", "latex"),
        (None, "x.HTML", "html"),
        (None, "x.md", "markdown"),
        (None, "x.csv", "csv"),
        (None, "x.txt", "table"),
        ("latex", "x.html", "latex"),
        ("csv", "whatever", "csv"),
    ],
)
def test_the_form_is_the_one_named_or_the_endings(form: str | None, name: str | None, meant: str) -> None:
    assert form_of(form, Path(name) if name else None) == meant


def test_a_form_that_is_none_is_refused() -> None:
    with pytest.raises(ShepherdError, match="--format is 'xml'; use table, markdown, csv, latex or html"):
        form_of("xml", None)
    for name in ("x.pdf", "x"):
        with pytest.raises(ShepherdError, match=r"names no form; end it in \.txt, \.md"):
            form_of(None, Path(name))


def test_every_form_is_written_to_a_file(comparison: Comparison, tmp_path: Path) -> None:
    odd = Comparison([replace(comparison.reference, label="half \ud800"), *comparison.rows[1:]])
    document = Document("Title", document_tables(odd), to_csv(odd))
    for form in FORMS:
        path = tmp_path / "new" / form
        write_document(document, form, path)
        assert "centralised" in path.read_text(encoding="utf-8")
    assert max(map(len, (tmp_path / "new" / "table").read_text().splitlines())) <= 100
