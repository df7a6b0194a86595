from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from shepherd.aggregation import FedAdam, FedAvgM, FedYogi
from shepherd.config import RunConfig, load_config, parse_config, preset_names, preset_text
from shepherd.data.allocation import Dirichlet, Shards
from shepherd.data.holdout import Fraction
from shepherd.errors import ShepherdError
from shepherd.training import Engine, TransformersTraining


@pytest.mark.parametrize("name", preset_names())
def test_presets_are_complete_configs_that_explain_themselves(name: str) -> None:
    config = load_config(name)
    assert parse_config(config.resolved()) == config
    assert parse_config(yaml.safe_load(config.to_yaml())) == config
    assert preset_text(name).startswith("# ")


def test_fedit_dolly_is_the_papers_study() -> None:
    config = load_config("fedit-dolly")
    training = config.training
    assert config.allocation.clients == 100  # type: ignore[attr-defined]
    assert config.rounds == 20
    assert config.participation.cohort_size(100) == 5
    assert (training.epochs, training.batch_size, training.lr) == (1, 32, 1.5e-4)
    assert training.optimizer == "adam"
    assert config.adapter.rank == 8  # type: ignore[attr-defined]
    assert config.adapter.targets == "all-linear"  # type: ignore[attr-defined]
    assert config.data.max_tokens == 512
    assert config.data.prompt == "alpaca"


@pytest.mark.parametrize(
    ("text", "value"), [("1e-3", 1e-3), ("0.5", 0.5), ("3.0e-4", 3e-4), ("1", 1.0), ("1E2", 100.0)]
)
def test_overrides_read_numbers_as_people_write_them(text: str, value: float) -> None:
    assert load_config("quickstart", [f"training.lr={text}"]).training.lr == value


def test_overrides_take_lists_mappings_and_short_names() -> None:
    config = load_config(
        "quickstart",
        [
            "evaluation.metrics=[loss]",
            "data.columns={instruction: question, response: answer}",
            "transforms=[{name: clip, norm: 2.0}]",
            "training=trainer",
            "training.lr=2e-3",
        ],
    )
    assert config.evaluation.metrics == ["loss"]
    assert config.data.columns == {"instruction": "question", "response": "answer"}
    assert len(config.transforms) == 1
    assert config.training == TransformersTraining(lr=2e-3)


def test_another_algorithm_keeps_the_fields_it_shares() -> None:
    config = load_config("quickstart", ["allocation.name=shards", "training.name=trainer"])
    before = load_config("quickstart")
    assert isinstance(before.allocation, Dirichlet)
    assert isinstance(before.training, Engine)
    assert config.allocation == Shards(clients=before.allocation.clients)
    assert config.training.lr == before.training.lr
    held_out = load_config(
        "quickstart", ["data.holdout.name=fraction", "data.holdout.fraction=0.2"]
    ).data.holdout
    assert held_out == Fraction(fraction=0.2)


def test_another_algorithm_has_rates_of_its_own(tmp_path: Path) -> None:
    seeds = load_config("quickstart", ["adapter.name=kseed", "training.name=kseed"]).training
    assert (seeds.lr, seeds.batch_size, seeds.steps) == (3e-7, 1, 200)
    path = tmp_path / "mine.yaml"
    path.write_text("aggregation: {name: fedadam, lr: 0.01, beta_1: 0.5}\n")
    assert load_config(str(path), ["aggregation.name=fedyogi"]).aggregation == FedYogi(beta_1=0.5)
    assert load_config(str(path), ["aggregation.name=fedavgm"]).aggregation == FedAvgM()
    assert load_config(str(path), ["aggregation.beta_1=0.6"]).aggregation == FedAdam(lr=0.01, beta_1=0.6)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], (4, None)),
        (["participation.fraction=0.5"], (None, 0.5)),
        (["participation.fraction=null"], (4, None)),
        (["participation.count=2", "participation.fraction=null"], (2, None)),
        (["participation.fraction=1.0", "participation.count=null"], (None, 1.0)),
    ],
)
def test_a_setting_makes_room_for_another_unless_it_is_given_too(
    overrides: list[str], expected: tuple[int | None, float | None]
) -> None:
    chosen: Any = load_config("quickstart", overrides).participation
    assert (chosen.count, chosen.fraction) == expected


def test_a_yaml_file_is_a_config(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("rounds: 3\naggregation: fedavg\n")
    assert load_config(str(path), ["rounds=4"]) == RunConfig(rounds=4)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["roundz=3"], "there is no key 'roundz' here; did you mean 'rounds'?"),
        (["training.learning_rate=1"], "training: there is no key 'learning_rate' here"),
        (["training.lr=fast"], "training.lr: input should be a valid number"),
        (["training.lr=-1"], "training.lr: input should be greater than 0"),
        (["allocation.alpha=0"], "allocation.alpha: input should be greater than 0 (given: 0)."),
        (["allocation.name=shard"], "there is no allocation called 'shard'; did you mean 'shards'?"),
        (["rounds"], "'rounds' is no override; write key=value"),
        (["personalisation=topk"], "no personalisation called 'topk'; that is of another section, transform"),
        (["rounds=1", "rounds=2"], "rounds is given twice; give it once."),
        (["participation.count=2", "participation.fraction=0.5"], "give fraction or count, not both"),
        (
            ["personalisation=fedsa"],
            "called 'fedsa'; that is of another section, aggregation",
        ),
        (["rounds=[1"], "'[1' is not a YAML value"),
        (["rounds.x=1"], "'rounds.x=1': rounds has no keys below it."),
        (["run.name=a/b"], "run.name: a folder's name is made of letters, digits, '.', '_' and '-', and"),
        (["run.name=.."], "begins with no '.' (given: '..')."),
        (["run.name=."], "begins with no '.' (given: '.')."),
        (
            ["run.name=2024"],
            """run.name: this is meant to be text; put it in quotes of its own, e.g. '"2024"' (given: 2024).""",
        ),
        (["run.name=.hidden"], "begins with no '.' (given: '.hidden')."),
        (["evaluation.metrics=[bleu]"], "evaluation.metrics[0]: input should be"),
        (["training.lr=.nan"], "training.lr"),
        (["adapter.name=loar"], "there is no adapter called 'loar'; did you mean 'lora'?"),
        (["transforms=topk"], "transforms: this is a list, e.g. [topk] (given: 'topk')."),
        (
            ["transforms={name: clip, norm: 2.0}"],
            "transforms: this is a list, e.g. [{name: clip, norm: 2.0}].",
        ),
        (["evaluation.metrics=loss,rouge"], "this is a list, e.g. [loss, rouge] (given: 'loss,rouge')."),
        (["transforms=[{name: quantise, bits: 0}]"], "transforms[0].bits: input should be 1, 2, 4 or 8"),
        (
            ["participation.name=fedcs"],
            "participation.deadline_s is not given, and has no default; set it, e.g. participation.deadline_s=600.",
        ),
        (["participation.name=only"], "set it, e.g. 'participation.clients=[0, 1]'."),
        (["capacity={name: tiers, tiers: [{rank: 3}]}"], "capacity.tiers[0].share is not given, and has no"),
        (["transforms=[{name:quantise}]"], "write a space after the colon: 'name: quantise'."),
        (["transforms=[name:quantise]"], "write a space after the colon: 'name: quantise'"),
    ],
)
def test_what_is_wrong_is_one_sentence(overrides: list[str], said: str) -> None:
    with pytest.raises(ShepherdError) as caught:
        load_config("quickstart", overrides)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["rounds=2"], "{path}: adapter.rank: input should be greater than 0 (given: 0)."),
        (["adapter.rank=-1"], "The override adapter.rank=-1: adapter.rank: input should be greater than 0"),
        (
            ["adapter.rank=2", "rounds=4", "training.rate=1"],
            "The override training.rate=1: training: there is no key 'rate' here",
        ),
        (
            ["adapter.rank=2", "participation.count=2", "aggregation=afl", "rounds=4"],
            "The override aggregation=afl: aggregation.name=afl needs every client",
        ),
        (
            ["adapter.rank=2", "rounds=https://me:secret@host"],
            "The override of rounds: rounds: input should be a",
        ),
    ],
)
def test_a_mistake_is_the_overrides_that_makes_it(tmp_path: Path, overrides: list[str], said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("rounds: 3\nadapter: {rank: 0}\n")
    with pytest.raises(ShepherdError) as caught:
        load_config(str(path), overrides)
    assert str(caught.value).startswith(said.format(path=path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("rounds: [", "is not valid YAML"),
        ("just words", "must hold keys and values"),
        ("rounds: many", "rounds: input should be a valid integer"),
        ("rounds:5", "write a space after the colon: 'rounds: 5'"),
        ("training:\n  lr:1\n  epochs: 2\n", "is a space missing after a colon"),
    ],
)
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(ShepherdError, match=said):
        load_config(str(path))


@pytest.mark.parametrize(
    "key",
    [
        "participation.name=fedcs",
        "participation.name=only",
        "allocation.name=files",
        "capacity.name=file",
        "capacity.name=tiers",
        "capacity.name=by_size",
        "data.holdout.name=file",
        "data.holdout.name=categories",
        "system.devices.name=file",
        "system.availability.name=intervals",
    ],
)
def test_the_value_that_is_shown_for_a_missing_one_can_be_given(key: str) -> None:
    given = ["system.name=synchronous", "aggregation.name=hetlora", key]
    with pytest.raises(ShepherdError) as caught:
        load_config("quickstart", given)
    shown = str(caught.value).rpartition("e.g. ")[2].removesuffix(".").strip("'")
    assert load_config("quickstart", [*given, shown]).system is not None


def test_a_preset_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(
        ShepherdError, match=r"no preset or YAML file 'quickstrat'; did you mean 'quickstart'\?"
    ):
        load_config("quickstrat")
    with pytest.raises(
        ShepherdError, match=r"^Cannot read the config missing\.yaml: no such file or directory\.$"
    ):
        load_config("missing.yaml")


def test_a_mapping_is_a_config(tiny: dict[str, Any]) -> None:
    assert parse_config(tiny).rounds == 3


@pytest.mark.parametrize(
    "values", [{"aggregation": "afl", "participation": {"name": "random", "fraction": 1.0}}]
)
def test_a_config_that_is_accepted_is_accepted_in_full(values: dict[str, Any]) -> None:
    config = parse_config(values)
    assert parse_config(config.resolved()) == config


def test_of_two_settings_for_one_thing_the_given_one_counts() -> None:
    assert load_config("quickstart").participation.count is not None
    everybody = load_config("quickstart", ["participation.fraction=1.0"]).participation
    assert (everybody.fraction, everybody.count) == (1.0, None)
    weighted = load_config(
        "quickstart", ["participation.count=3", "participation.name=weighted"]
    ).participation
    assert (weighted.name, weighted.count) == ("weighted", 3)


def test_a_setting_that_the_new_algorithm_lacks_is_not_dropped_in_silence() -> None:
    with pytest.raises(ShepherdError, match="no key 'count'"):
        load_config("quickstart", ["participation.count=3", "participation.name=only"])
