"""The report's opening paragraph: what was run and what came of it, in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shepherd.personal_scores import read_scores
from shepherd.report.method import changes, chosen, held, named, simulated
from shepherd.report.personal_table import personal_result
from shepherd.report.record import Record
from shepherd.report.selection_costs import selection_costs
from shepherd.report.simulated_time import mean_staleness
from shepherd.units import count, counted, duration, fixed, percent, whole

#: How a base is tuned, by the adapter's name.
_HOW = {
    "lora": "with a LoRA adapter",
    "dora": "with a DoRA adapter",
    "lora_sb": "with a small square matrix in every layer (LoRA-SB)",
    "ia3": "with (IA)³'s vectors",
    "prompt": "with virtual tokens",
    "ptuning": "with virtual tokens",
    "prefix": "with prefixes in every layer",
    "bitfit": "in its biases",
    "full": "in its own weights",
    "kseed": "in its own weights, along random directions",
}


def section(record: Record, name: str) -> dict[str, Any]:
    """Return a section of the config; empty where the run has none."""
    value = record.config.get(name)
    return value if isinstance(value, dict) else {}


def base_name(record: Record) -> str:
    """Return the base model's name: a hub name whole, of a folder its last part."""
    base = record.environment.get("base_model") or {}
    name = str(base.get("name") or section(record, "model").get("base") or "(unnamed)")
    return Path(name).name or name if name.startswith((".", "/", "~")) or name.count("/") > 1 else name


def is_of_sites(record: Record) -> bool:
    """Say whether the clients were sites with data of their own: then the config's allocation says nothing."""
    return "sites" in record.environment


def sentences(record: Record, baselines: Sequence[Record], clients: int | None) -> list[str]:
    """Return the summary, a sentence each: the set-up, the selection of examples, the result, and the baselines.

    Parameters
    ----------
    record : Record
        The federated run.
    baselines : sequence of Record
        Its baselines.
    clients : int, optional
        How many clients hold the data, where it is known.
    """
    parts = [
        _setup(record, clients),
        _schedule(record),
        _selection(record),
        _staleness(record),
        _missed(record),
        _clusters(record),
        _result(record),
        _own(record),
        _against(record, baselines),
    ]
    return [part for part in parts if part]


def _setup(record: Record, clients: int | None) -> str:
    data, adapter = record.environment.get("data") or {}, section(record, "adapter")
    source = Path(str(data.get("source") or section(record, "data").get("path") or "the instructions")).name
    among = f" held by {counted(clients, 'client')}" if clients else ""
    rows = counted(data["training_rows"], "instruction") if data.get("training_rows") else "the instructions"
    dealt = None if is_of_sites(record) else section(record, "allocation").get("name")
    scheme = f" (allocation: {dealt})" if dealt else ""
    how = _HOW.get(adapter.get("name", "lora"), f"with the adapter {adapter.get('name')}")
    tuned = f"The base model {base_name(record)} was tuned {how}{held(record.config)}"
    tests = data.get("own_test_rows")
    kept = f"; {whole(tests)} more are kept for the clients' own tests" if tests else ""
    return f"{tuned} on {rows} from {source}{among}{scheme}{kept}."


def _schedule(record: Record) -> str:
    lines = record.scope("round")
    if not lines:
        return "No round has been trained yet."
    cohorts = {line.get("clients") for line in lines}
    cohort = counted(cohorts.pop() or 0, "client") if len(cohorts) == 1 else "varying numbers of clients"
    rule = section(record, "aggregation").get("name")
    combined = f", their adapters combined by {rule}" if rule else ""
    ways = f"{changes(record.config)}{combined}{simulated(record.config)}"
    left = "" if record.has_all_rounds else f" of {record.planned_rounds} planned"
    took = duration(record.training_seconds)
    polled = f", polling and choosing {duration(record.selection_seconds)}" if record.scope("poll") else ""
    when = "one round" if record.rounds == 1 else f"each of {record.rounds} rounds"
    return (
        f"In {when}{left}, {cohort}{chosen(record.config)} trained on their own instructions{ways}; "
        f"training took {took}{polled}."
    )


def _selection(record: Record) -> str:
    """Return what the clients trained on and what choosing it took; nothing of a run that leaves nothing out."""
    costs = selection_costs(record)
    if costs is None:
        return ""
    name = section(record, "coreset").get("name")
    by = f", chosen by {name}" if name else ""
    took = ""
    if costs.seconds is not None and costs.training_seconds is not None:
        choosing, whole = (
            costs.seconds / costs.rounds,
            (costs.seconds + costs.training_seconds) / costs.rounds,
        )
        took = f"; choosing took {duration(choosing)} of {duration(whole)} a round"
    return (
        f"Each round its clients were given {percent(costs.share)} of their examples to train on{by}{took}."
    )


def _staleness(record: Record) -> str:
    """Return how old the updates of a run without rounds that wait were."""
    age = mean_staleness(record)
    return "" if age is None else f"The updates that it aggregated were {age:.1f} rounds old on average."


def _missed(record: Record) -> str:
    """Return what averaging A and B apart missed, of a run that measured it."""
    _, errors = record.train_curve("product_error")
    if not errors:
        return ""
    before = f", and {percent(errors[0])} in the first" if len(errors) > 1 else ""
    return (
        f"Averaging A and B apart misses {percent(errors[-1])} of the clients' average product in the last round"
        f"{before}."
    )


def _own(record: Record) -> str:
    """Return, of a run that gives clients adapters of their own, what everybody's is without and what theirs are."""
    about = record.environment.get("adapter") or {}
    if not about.get("gives_own") or not record.rounds:
        return ""
    rule, parts = named(record.config, "aggregation"), []
    if about.get("own_parameters"):
        parts.append(
            f"{count(about['own_parameters'])} of the adapter's parameters are each client's own ({rule}), and in "
            f"everybody's adapter as they began{_nothing_learnt(record)}: this loss says nothing of what clients "
            "learnt."
        )
    if record.has_all_rounds and not is_of_sites(record):
        parts.append(_own_adapters(record, named(record.config, "personalisation") or rule))
    return " ".join(part for part in parts if part)


def _own_adapters(record: Record, way: str) -> str:
    """Return what the clients' own adapters are worth; before they were tested, how they are."""
    if scores := read_scores(record.path):
        return personal_result(scores, way)
    kept = section(record, "data").get("own_test")
    where = "" if kept else " on the hold-out; data.own_test would have kept examples of theirs"
    return (
        f"`shepherd personalise {record.path}` makes the clients' own adapters ({way}) and tests them{where}."
    )


def _nothing_learnt(record: Record) -> str:
    untuned = record.untuned if record.starts_at_base else None
    same = untuned is not None and untuned["loss"] == record.final["loss"]
    return ", which leaves it the untuned base" if same else ""


def _clusters(record: Record) -> str:
    """Return how many clusters the clients are in, of a run that makes some."""
    found = [line["clusters"] for line in record.scope("round") if "clusters" in line]
    if not found:
        return ""
    if found[-1] <= 1:
        return "Its clients are all in one cluster so far, with one adapter."
    return f"Its clients are in {counted(int(found[-1]), 'cluster')}, each with an adapter of its own."


def _result(record: Record) -> str:
    first, last = record.untuned, record.final
    rows = last.get("examples")
    on = f"On {whole(rows)} held-out examples" if rows else "On the hold-out"
    if first is None or first is last:
        return f"{on} the loss is {fixed(last['loss'])} nats per response token."
    rouge = _rouge(first.get("rouge_l"), last.get("rouge_l"))
    if fixed(first["loss"]) == fixed(last["loss"]):
        return f"{on} the loss stayed at {fixed(last['loss'])} nats per response token{rouge}.{_pairs(last)}"
    change = last["loss"] / first["loss"] - 1 if first["loss"] else None
    begun = "" if record.starts_at_base else " (of the untrained adapter, which is not the untuned base's)"
    verb = "fell" if last["loss"] < first["loss"] else "went"
    return (
        f"{on} the loss {verb} from {fixed(first['loss'])}{begun} to {fixed(last['loss'])} nats per response "
        f"token ({_signed(change)}), the perplexity from {fixed(first.get('perplexity'), 1)} to "
        f"{fixed(last.get('perplexity'), 1)}{rouge}.{_pairs(last)}"
    )


def _signed(change: float | None) -> str:
    """Return a change as a percentage with its sign."""
    plus = "+" if change is not None and change > 0 else ""
    return plus + percent(change).replace("-", "−")


def _pairs(last: dict[str, Any]) -> str:
    """Return, where pairs are held out, how many of them the adapter prefers rightly, in a sentence."""
    right, margin = last.get("preference_accuracy"), last.get("preference_margin")
    if right is None or margin is None:
        return ""
    return (
        f" Against the untuned base it came to prefer the chosen answer in {percent(right)} of the pairs, by "
        f"{fixed(margin)} nats on average."
    )


def _rouge(first: float | None, last: float | None) -> str:
    return "" if first is None or last is None else f", ROUGE-L from {fixed(first)} to {fixed(last)}"


def _against(record: Record, baselines: Sequence[Record]) -> str:
    """Return FedIT's two comparisons in a sentence: with the best single client, and with all data pooled."""
    alone = [other for other in baselines if other.label.startswith("alone-")]
    said = [_best_alone(record, alone)] if alone else []
    pooled = [other for other in baselines if other.label == "centralised"]
    said += [_versus(record, other, "the model trained on all data pooled", "") for other in pooled]
    return f"The federated loss is {' and '.join(said)}." if said else ""


def _best_alone(record: Record, alone: Sequence[Record]) -> str:
    best = min(alone, key=lambda other: other.final["loss"])
    who = "the client trained alone" if len(alone) == 1 else f"the best of {len(alone)} clients trained alone"
    return _versus(record, best, who, f"{best.label.removeprefix('alone-')}: ")


def _versus(record: Record, other: Record, who: str, name: str) -> str:
    ours, theirs = record.final["loss"], other.final["loss"]
    there = f"{who} ({name}{fixed(theirs)})"
    gap = abs(ours / theirs - 1) if theirs else 0.0
    if gap < 0.0005:
        return f"level with {there}"
    return f"{percent(gap)} {'below' if ours < theirs else 'above'} that of {there}"
