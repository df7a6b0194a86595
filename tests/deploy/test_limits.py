"""What a site's owner allows: every limit, the sentences, and that no code comes over the network."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from shepherd.config import DataConfig, RunConfig, load_config, parse_config, preset_names
from shepherd.deploy.foreign_code import refuse_foreign_code, strategies
from shepherd.deploy.limits import check_allowed, proxies
from shepherd.deploy.measured_limits import check_adapter, check_base, check_round, check_work
from shepherd.deploy.refusal import Refused
from shepherd.deploy.settings import Limits
from shepherd.errors import ShepherdError
from shepherd.model.base import BaseModelConfig
from shepherd.settings import Settings
from shepherd.strategy import OneOf
from shepherd.training import Engine

LAMB = {"base_models": {"lamb": "any"}}


class Mine(Engine):
    """Somebody's own trainer."""

    name: str = "mine"


def allow(config: dict[str, Any] | RunConfig, limits: dict[str, Any] | None = None, sites: int = 3) -> None:
    asked = config if isinstance(config, RunConfig) else parse_config(config)
    check_allowed(asked, Limits.model_validate({**LAMB, **(limits or {})}), sites)


@pytest.mark.parametrize("preset", preset_names())
def test_presets_are_inside_the_usual_limits(preset: str) -> None:
    allow(load_config(preset))


@pytest.mark.parametrize(
    ("config", "limits", "said"),
    [
        ({"adapter": {"rank": 65}}, {}, r"adapter.rank is 65, .* at most 64; .* raise limits.largest_rank"),
        (
            {"adapter": "full"},
            {},
            r"adapter.name is 'full', and this site allows only lora; .*limits.adapter_kinds",
        ),
        (
            {"adapter": "kseed", "training": "kseed"},
            {"adapter_kinds": ["lora", "prompt"]},
            r"adapter.name is 'kseed', and this site allows only lora, prompt; .*limits.adapter_kinds",
        ),
        (
            {"adapter": {"name": "dora", "rank": 65}},
            {"adapter_kinds": ["dora"]},
            r"adapter.rank is 65, .*limits.largest_rank",
        ),
        (
            {"adapter": {"name": "prompt", "tokens": 5000}},
            {"adapter_kinds": ["prompt"]},
            r"The sum of adapter.tokens and data.max_tokens is 5,512, .*limits.most_tokens",
        ),
        (
            {"training": {"epochs": 10.5}},
            {},
            r"training.epochs is 10.5, .* at most 10; .*limits.most_local_epochs",
        ),
        ({"rounds": 1001}, {}, r"rounds is 1,001, .* at most 1,000; .*limits.most_rounds"),
        ({"data": {"max_tokens": 5000}}, {}, r"data.max_tokens is 5,000, .*limits.most_tokens"),
        ({}, {"largest_share": 0.5}, r"coreset.name=full .* is 1, .* at most 0.5; .*limits.largest_share"),
        ({"coreset": {"name": "random", "ratio": 0.7}}, {"largest_share": 0.5}, "limits.largest_share"),
        ({"coreset": {"name": "relevant", "share": 0.6}}, {"largest_share": 0.5}, "limits.largest_share"),
        ({}, {"fewest_sites": 4}, r"has 3 sites, .* no fewer than 4; .*limits.fewest_sites"),
        (
            {},
            {"base_models": {}},
            r"model.base is 'lamb', which this site does not allow; .*limits.base_models",
        ),
        (
            {"coreset": {"name": "relevant", "then": {"name": "fedhds-turbo", "proxy": "org/other"}}},
            {},
            r"coreset.proxy is 'org/other', which this site does not allow; .*limits.base_models",
        ),
        ({}, {"clipping_required": True}, "none that clips updates, and limits.clipping_required"),
        (
            {
                "transforms": ["clip"],
                "aggregation": "scaffold",
                "training": {"correction": "scaffold"},
            },
            {"clipping_required": True},
            "aggregation.name=scaffold has clients send tensors that are never clipped",
        ),
        ({}, {"privacy_required": True}, "none that clips updates, and limits.privacy_required"),
        (
            {"transforms": ["clip", "topk"]},
            {"clipping_required": True},
            "updates by topk, which may make a clipped update longer, .*limits.clipping_required",
        ),
        (
            {"transforms": ["clip", {"name": "topk", "feedback": False, "values": "quantise"}]},
            {"clipping_required": True},
            "updates by topk, which may make a clipped update longer",
        ),
        ({"transforms": ["clip", "quantise"]}, {"privacy_required": True}, "updates by quantise, .*privacy"),
        (
            {"transforms": ["clip"]},
            {"privacy_required": True},
            "no transform that adds noise .* no run can meet it",
        ),
        ({"model": {"trust_remote_code": True}}, {}, "model.trust_remote_code is true"),
        ({"training": f"{__name__}.Mine"}, {}, "training.name is '.*Mine', and a site runs no code"),
        ({"data": {"prompt": "/etc/prompt.yaml"}}, {}, "data.prompt names a file"),
        ({"coreset": {"name": "random", "matched": "/runs/x"}}, {}, "coreset.matched names a folder"),
        ({"coreset": {"name": "kcenter", "public": "/etc/x.json"}}, {}, "coreset.public names a data set"),
        ({"adapter": {"targets": "(a+)+$"}}, {}, "adapter.targets is one text"),
    ],
)
def test_what_is_outside_the_limits_is_refused(
    config: dict[str, Any], limits: dict[str, Any], said: str
) -> None:
    with pytest.raises(Refused, match=said) as caught:
        allow(config, limits)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "limits"),
    [
        (
            {
                "adapter": {"rank": 64},
                "rounds": 1000,
                "data": {"max_tokens": 4096},
                "training": {"epochs": 10},
            },
            {},
        ),
        ({"training": {"epochs": 0.5}}, {"largest_share": 0.5}),
        ({"coreset": {"name": "random", "ratio": 0.5}}, {"largest_share": 0.5}),
        ({"coreset": "fedhds"}, {"largest_share": 0.01}),
        ({"transforms": ["clip"]}, {"clipping_required": True}),
        ({"transforms": ["clip", "half"]}, {"clipping_required": True}),
        ({"transforms": ["clip", {"name": "topk", "feedback": False}]}, {"clipping_required": True}),
        ({"transforms": ["topk"]}, {}),
        (
            {
                "adapter": {"targets": ["q_proj"]},
                "data": {"prompt": {"with_context": "x", "without_context": "y"}},
            },
            {},
        ),
    ],
)
def test_what_is_just_inside_is_allowed(config: dict[str, Any], limits: dict[str, Any]) -> None:
    allow(config, limits)


def test_a_class_that_calls_itself_built_in_is_still_foreign() -> None:
    with pytest.raises(Refused, match="a site runs no code"):
        allow(RunConfig(training=Mine(name="engine")))


def test_a_config_with_noise_would_need_it_on_the_means_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from shepherd.transforms import Clip

    monkeypatch.setattr("shepherd.deploy.limits._NOISING", (Clip,))  # as if it added noise
    noisy = {"name": "fedhds", "noise": {"sigma": 1}}
    allow({"transforms": ["clip"], "coreset": noisy}, {"privacy_required": True})
    with pytest.raises(Refused, match=r"coreset\.noise is not set"):
        allow({"transforms": ["clip"], "coreset": "fedhds"}, {"privacy_required": True})


def test_base_models_are_told_apart_by_name_fingerprint_and_size() -> None:
    limits = Limits(base_models={"lamb": "a" * 64, "other": "any"}, largest_model=100)
    check_base("lamb", "a" * 64, 100, limits)
    check_base("other", "b" * 64, 100, limits)
    for name, fingerprint, parameters, said in (
        ("third", "a" * 64, 1, "'third', which this site does not allow"),
        ("lamb", "b" * 64, 1, "has the fingerprint bbbbbbbbbbbb… at this site, .* allows aaaaaaaaaaaa…"),
        ("other", "b" * 64, 101, "parameters of 'other' is 101, .* raise limits.largest_model"),
    ):
        with pytest.raises(Refused, match=said):
            check_base(name, fingerprint, parameters, limits)


def test_an_adapter_may_not_be_larger_than_allowed() -> None:
    check_adapter(1_000_000, Limits(largest_adapter_mb=1))
    with pytest.raises(Refused, match=r"is 1.5, .* limits.largest_adapter_mb"):
        check_adapter(1_500_000, Limits(largest_adapter_mb=1))


def test_steps_count_as_passes() -> None:
    asked, limits = (
        parse_config({"training": {"steps": 10, "batch_size": 8}}),
        Limits(**LAMB, most_local_epochs=2),
    )
    check_allowed(asked, limits, 3)
    check_work(asked, limits, 40)
    with pytest.raises(Refused, match=r"training.steps comes to is 2\.051, .*limits.most_local_epochs"):
        check_work(asked, limits, 39)


@pytest.mark.parametrize(
    ("selected", "trained", "held", "said"),
    [
        (50, 100, 100, None),
        (51, 51, 100, "is 0.51, .* limits.largest_share"),
        (100, 50, 100, None),  # half of a pass
        (1, 2, 1, None),  # one example is always allowed
        (2, 5, 100, "is 2.5, .* limits.most_local_epochs"),
    ],
)
def test_a_round_is_held_against_what_it_trained_on(
    selected: int, trained: int, held: int, said: str | None
) -> None:
    limits = Limits(largest_share=0.5, most_local_epochs=2)
    if said is None:
        check_round(selected, trained, held, limits)
    else:
        with pytest.raises(Refused, match=said):
            check_round(selected, trained, held, limits)


def test_proxies_are_found_however_deep() -> None:
    inner = {"name": "fedhds-turbo", "proxy": "small"}
    assert proxies(parse_config({"coreset": {"name": "relevant", "then": inner}})) == ["small"]
    assert proxies(parse_config({"coreset": inner})) == ["small"]
    assert proxies(RunConfig()) == []


@pytest.mark.parametrize(
    "section",
    [
        {"aggregation": "CLASS"},
        {"coreset": "CLASS"},
        {"coreset": {"name": "CLASS"}},
        {"coreset": {"name": "relevant", "then": "CLASS"}},
        {"coreset": {"name": "relevant", "then": {"name": "CLASS"}}},
        {"training": {"name": "CLASS", "lr": 1}},
        {"training": {"correction": "CLASS"}},
        {"training": {"name": "engine", "correction": {"name": "CLASS"}}},
        {"transforms": ["clip", "CLASS"]},
        {"transforms": [{"name": "CLASS"}]},
        {"adapter": "CLASS"},
        {"data": {"holdout": "CLASS"}},
        {"allocation": {"name": "CLASS"}},
        {"participation": "CLASS"},
    ],
    ids=str,
)
def test_no_module_is_imported_because_a_config_names_it(
    section: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sentinel_module.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    values = _with_class(section, "sentinel_module.Thing")
    with pytest.raises(Refused, match=r"names the class 'sentinel_module\.Thing'"):
        refuse_foreign_code(values)
    assert "sentinel_module" not in sys.modules
    with pytest.raises(ShepherdError):
        parse_config(values)
    assert "sentinel_module" in sys.modules  # so the first refusal is needed
    del sys.modules["sentinel_module"]


def _with_class(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {key: _with_class(inner, name) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_class(inner, name) for inner in value]
    return name if value == "CLASS" else value


@pytest.mark.parametrize("preset", preset_names())
def test_built_in_configs_name_no_foreign_code(preset: str) -> None:
    refuse_foreign_code(load_config(preset, ["training.correction=fedprox", "transforms=[clip]"]).resolved())


def test_malformed_values_are_left_to_the_config_to_refuse() -> None:
    for values in (
        {"coreset": 3},
        {"coreset": "nothing"},
        {"transforms": "x"},
        {"training": {"name": 4}},
        {"x": []},
    ):
        refuse_foreign_code(values)
        with pytest.raises(ShepherdError):
            parse_config(values)


def test_strategies_are_found_with_their_places() -> None:
    config = parse_config({"coreset": {"name": "relevant", "then": "random"}, "transforms": ["clip"]})
    found = {place: strategy.name for place, strategy in strategies(config)}
    assert found.items() >= {"coreset": "relevant", "coreset.then": "random", "transforms": "clip"}.items()
    assert found["data.holdout"] == "per_category"


def test_every_free_text_that_a_site_follows_has_been_thought_about() -> None:
    """A new setting that takes any text may be a path: it has to be allowed here, and perhaps refused in `limits`."""
    own = {"model", "data", "allocation", "participation", "capacity", "system", "evaluation", "run"}
    told = {key: field for key, field in RunConfig.model_fields.items() if key not in own}
    found = {text for field in told.values() for text in _texts(field.annotation, field.metadata, "")}
    for kind in (BaseModelConfig, DataConfig):
        for key, field in kind.model_fields.items():
            found |= set(_texts(field.annotation, field.metadata, f"{kind.__name__}.{key}"))
    assert found == {
        "BaseModelConfig.base",  # limits.base_models
        "BaseModelConfig.device",  # the site's own
        "Categories.categories",
        "DataConfig.columns",  # the site's own
        "DataConfig.path",  # the site's own
        "DataConfig.prompt",
        "FedHDS.public",
        "FedHDSTurbo.proxy",  # limits.base_models
        "FedHDSTurbo.public",
        "GroupWeighted.group_shares",  # names of groups; no site is told them
        "GroupWeighted.groups",  # names of clients; no site is told them
        "File.columns",  # refused in `shared`, as every path of a hold-out
        "File.path",
        "KCenter.public",
        "Dora.targets",
        "Full.only",  # patterns of the base's own names
        "IA3.feedforward",
        "IA3.targets",
        "KSeed.only",
        "Lora.targets",
        "LoraSB.targets",
        "Perplexity.matched",
        "PromptTuning.text",  # only ever tokens
        "Random.matched",
    }


def _texts(annotation: Any, metadata: Any, place: str) -> Iterator[str]:
    """Yield the settings below one that take any text."""
    choice = next((one for one in metadata if isinstance(one, OneOf)), None)
    if choice is not None:
        for kind in choice.classes:
            yield from _texts_of(kind)
    elif annotation is str:
        yield place
    elif hasattr(annotation, "__metadata__"):
        yield from _texts(get_args(annotation)[0], annotation.__metadata__, place)
    elif isinstance(annotation, type) and issubclass(annotation, Settings):
        yield from _texts_of(annotation)
    else:
        for part in get_args(annotation):
            yield from _texts(part, (), place)


def _texts_of(kind: type[BaseModel]) -> Iterator[str]:
    for key, field in kind.model_fields.items():
        if key != "name":
            yield from _texts(field.annotation, field.metadata, f"{kind.__name__}.{key}")


def test_passes_over_the_data_for_an_adapter_of_ones_own_count() -> None:
    config = parse_config(
        {"personalisation": {"name": "ditto", "epochs": 100_000}, "training": {"epochs": 1}}
    )
    limits = Limits.model_validate({"base_models": {"lamb": "any"}, "most_local_epochs": 1})
    with pytest.raises(Refused, match="most_local_epochs"):
        check_allowed(config, limits, 3)
