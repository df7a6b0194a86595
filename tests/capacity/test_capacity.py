"""What each client holds: by tiers, by size, by a file; and every mistake named."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shepherd.capacity import BySize, Capacity, Configuration, ConfigurationFile, Tiers
from shepherd.capacity.extent import layer_of, module_of
from shepherd.config import parse_config
from shepherd.errors import ShepherdError
from shepherd.model.adapter import Layout

PREFIX = "base_model.model.model.layers"
LAYOUT = Layout.of(
    {
        f"{PREFIX}.{layer}.self_attn.{module}.lora_{factor}.weight": torch.zeros(shape)
        for layer in range(2)
        for module in ("q_proj", "v_proj")
        for factor, shape in (("A", (4, 6)), ("B", (5, 4)))
    }
)
HALVES = ({"share": 0.5, "rank": 2}, {"share": 0.3, "layers": [1]}, {"share": 0.2})


def written(tmp_path: Path, text: str, ending: str = "yaml", **options: Any) -> ConfigurationFile:
    """Return the capacity of a new file."""
    path = tmp_path / f"Capacities.{ending}"
    path.write_text(text, encoding="utf-8")
    return ConfigurationFile(path=str(path), **options)


def of(capacity: Capacity, name: str = "a", client: int = 0, size: int = 10, seed: int = 0) -> Configuration:
    return capacity.configuration(client, name, size, seed)


def test_tiers_are_dealt_by_address_in_their_shares() -> None:
    tiers = Tiers(tiers=HALVES)
    dealt = [of(tiers, client=client) for client in range(4000)]
    assert dealt[:50] == [of(tiers, client=client) for client in range(50)]
    assert dealt[:50] != [of(tiers, client=client, seed=1) for client in range(50)]
    counts = Counter(dealt)
    wanted = {Configuration(rank=2): 0.5, Configuration(layers=(1,)): 0.3, Configuration(): 0.2}
    assert set(counts) == set(wanted)
    for configuration, share in wanted.items():
        assert counts[configuration] / 4000 == pytest.approx(share, abs=0.04)


@pytest.mark.parametrize(("size", "rank"), [(0, 1), (9, 1), (10, 2), (99, 2), (100, None), (10**6, None)])
def test_larger_clients_hold_more(size: int, rank: int | None) -> None:
    tiers = ({"examples": 100}, {"rank": 1}, {"examples": 10, "rank": 2})
    assert of(BySize(tiers=tiers), size=size).rank == rank


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        ("yaml", "a: {rank: 2, targets: [q_proj, v_proj]}\n'1':\n  layers: [0, 1]\nc: {}\n"),
        ("json", '{"a": {"rank": 2,\n\t"targets": ["q_proj", "v_proj"]}, "1": {"layers": [0, 1]}, "c": {}}'),
        ("csv", "client,layers,rank,targets\na,,2,q_proj v_proj\n1,0;1,,\nc,,,\n"),
    ],
)
def test_a_file_says_what_each_client_holds(tmp_path: Path, ending: str, text: str) -> None:
    capacity = written(tmp_path, text, ending, default={"rank": 1})
    assert of(capacity) == Configuration(rank=2, targets=("q_proj", "v_proj"))
    assert of(capacity, "1") == Configuration(layers=(0, 1))
    assert of(capacity, "c") == Configuration()
    assert of(capacity, "somebody else") == Configuration(rank=1)
    capacity.check(["a", "1", "c", "somebody else"], LAYOUT)


@pytest.mark.parametrize(
    ("ending", "text", "said"),
    [
        (
            "yaml",
            "a: {rank: 2}\n\nb: {rank: 0}\n",
            r"yaml:3: client 'b': rank: .*greater than 0 \(given: 0\)",
        ),
        ("yaml", "a: {rank: many}\n", r"yaml:1: client 'a': rank: .*integer \(given: 'many'\)"),
        ("yaml", "a: {rank: true}\n", r"yaml:1: client 'a': rank: .*integer"),
        ("yaml", "a: {rank: [2]}\n", r"yaml:1: client 'a': rank: .*integer"),
        ("yaml", "a: {layers: []}\n", r"yaml:1: client 'a': layers: .*at least 1 item"),
        ("yaml", "a: {layers: [-1]}\n", r"yaml:1: client 'a': layers\[0\]: .*greater than or equal to 0"),
        ("yaml", "a: {layers: {x: 1}}\n", r"yaml:1: client 'a': layers"),
        ("yaml", "a: {ranks: 2}\n", r"yaml:1: client 'a' has the unknown key 'ranks'; did you mean 'rank'\?"),
        ("yaml", "a: {rank: 2, rank: 3}\n", r"yaml:1: client 'a' has 'rank' twice"),
        ("yaml", "a: {rank: 2}\nb: {}\na: {}\n", r"yaml:3: client 'a' is there a second time"),
        ("yaml", "a: 2\n", r"yaml:1: client 'a' has no mapping"),
        ("yaml", "- a\n", r"yaml:1 is no mapping of clients"),
        ("yaml", "[1]: {}\n", r"yaml:1 has a client whose name is no text"),
        ("yaml", "a: {\n\n", r"yaml:\d is not valid YAML or JSON"),
        ("yaml", "# nobody\n", r"names no client"),
        ("json", '{"a": {"rank": 2},\n"b": {"rank": 2', r"json:\d is not valid YAML or JSON"),
        ("csv", "client,rank\na,2\nb,x\n", r"csv:3: client 'b': rank: .*integer"),
        ("csv", "client,rank\na,2 3\n", r"csv:2: client 'a': rank: .*integer"),
        ("csv", "client,rang\na,2\n", r"csv:1 names the unknown column 'rang'; did you mean 'rank'\?"),
        ("csv", "client,rank\n,2\n", r"csv:2 names no client"),
        ("csv", "client,rank\na,1\na,2\n", r"csv:3: client 'a' is there a second time"),
        ("csv", "rank\n1\n", r"csv:2 names no client"),
        ("yaml", "a: {rank: 5}\n", r"yaml:1: client 'a' has the rank 5, above the adapter's 4"),
        (
            "yaml",
            "a: {targets: [k_proj]}\n",
            r"client 'a' has the target 'k_proj', .*did you mean '._proj'\?",
        ),
        ("yaml", "a: {layers: [0, 2]}\n", r"client 'a' has the layer 2, and the adapter's are 0 to 1"),
        ("yaml", "a: {}\nbeta: {}\n", r"yaml:2: client 'beta' does not take part in the run"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_its_line_and_client(
    tmp_path: Path, ending: str, text: str, said: str
) -> None:
    with pytest.raises(ShepherdError, match=said) as caught:
        written(tmp_path, text, ending).check(["a", "b"], LAYOUT)
    assert "\n" not in str(caught.value)


def test_layers_that_leave_nothing_of_the_targets_to_train_are_refused(tmp_path: Path) -> None:
    left, right = f"{PREFIX}.0.self_attn.q_proj.lora_A.weight", f"{PREFIX}.3.mlp.up_proj.lora_A.weight"
    layout = Layout.of({left: torch.zeros(4, 6), right: torch.zeros(4, 6)})
    written(tmp_path, "a: {targets: [q_proj], layers: [0]}\n").check(["a"], layout)
    with pytest.raises(ShepherdError, match=r"yaml:1: client 'a' has targets and layers without a tensor"):
        written(tmp_path, "a: {targets: [q_proj], layers: [3]}\n").check(["a"], layout)
    with pytest.raises(
        ShepherdError, match=r"has the layer 1, and the adapter's are 0, 3; give some of these"
    ):
        written(tmp_path, "a: {layers: [1]}\n").check(["a"], layout)


@given(st.text(max_size=60))
def test_whatever_a_file_holds_it_is_read_or_refused(text: str) -> None:
    with TemporaryDirectory() as folder, suppress(ShepherdError):
        written(Path(folder), text.encode("utf-8", "replace").decode()).check(["a"], LAYOUT)


def test_a_file_is_read_again_when_it_has_changed_and_its_fingerprint_changes(tmp_path: Path) -> None:
    capacity = written(tmp_path, "a: {rank: 2}\n")
    before = capacity.facts()
    assert of(capacity).rank == 2
    written(tmp_path, "a: {rank: 3}\n")
    os.utime(capacity.path, ns=(1, 1))
    assert of(capacity).rank == 3
    assert capacity.facts() != before


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"capacity": {"name": "tiers", "tiers": [{"share": 0.5}]}}, "shares of tiers add up to 0.5"),
        ({"capacity": {"name": "tiers", "tiers": []}}, "at least 1 item"),
        (
            {"capacity": {"name": "by_size", "tiers": [{"examples": 3}]}},
            "clients of fewer than 3 examples; let one have 0",
        ),
        ({"capacity": {"name": "by_size", "tiers": [{}, {"rank": 1}]}}, "begin at the same number"),
        (
            {"capacity": {"name": "tiers", "tiers": [{"share": 1, "rank": 9}]}},
            "the tier number 1 has the rank 9, above the adapter's 8; lower it, or raise adapter.rank",
        ),
        (
            {
                "capacity": {"name": "tiers", "tiers": [{"share": 1, "targets": ["q_prof"]}]},
                "adapter": {"targets": ["q_proj", "v_proj"]},
            },
            r"has the target 'q_prof', .* did you mean 'q_proj'\?",
        ),
        (
            {"capacity": {"name": "tiers", "tiers": [{"share": 1, "rank": 2}]}, "adapter": "ia3"},
            "only an adapter that is LoRA's A and B alone can be cut to them",
        ),
        (
            {"capacity": {"name": "tiers", "tiers": [{"share": 1, "rank": 2}]}},
            "aggregation.name=fedavg cannot",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_the_config(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ShepherdError, match=said):
        parse_config(values)


def test_a_file_is_held_against_the_config_where_it_is_there(tmp_path: Path) -> None:
    capacity = written(tmp_path, "a: {rank: 9}\n")
    with pytest.raises(ShepherdError, match=r"Capacities\.yaml:1: client 'a' has the rank 9"):
        parse_config({"capacity": capacity.model_dump(), "aggregation": "hetlora"})
    Path(capacity.path).unlink()  # an old run's config can still be read
    parse_config({"capacity": capacity.model_dump()})
    with pytest.raises(ShepherdError, match=r"Cannot read .*check capacity\.path"):
        capacity.check(["a"], LAYOUT)


def test_layers_alone_do_not_mix(tmp_path: Path) -> None:
    assert not Tiers(tiers=[{"share": 1, "layers": [0]}]).mixes
    assert Tiers(tiers=[{"share": 0.5, "layers": [0]}, {"share": 0.5, "targets": ["q_proj"]}]).mixes
    assert not written(tmp_path, "a: {layers: [1]}\n").mixes
    assert written(tmp_path, "a: {layers: [1]}\n", default={"rank": 1}).mixes
    parse_config({"capacity": {"name": "tiers", "tiers": [{"share": 1, "layers": [0]}]}})


class Own(Capacity):
    """Somebody's, who does not say what clients may be given."""

    def configuration(self, client: int, name: str, size: int, seed: int) -> Configuration:
        return Configuration(rank=1 if client % 2 else None)


def test_of_somebodys_own_rule_that_does_not_say_ranks_may_differ() -> None:
    own = {"capacity": f"{__name__}.Own"}
    with pytest.raises(ShepherdError, match=r"fedavg cannot put together.*hetlora"):
        parse_config(own)
    assert parse_config({**own, "aggregation": "hetlora"}).capacity.mixes


def test_a_configuration_crosses_as_plain_values() -> None:
    for configuration in (Configuration(), Configuration(rank=2, targets=("q_proj",), layers=(0, 3))):
        assert Configuration.from_tree(configuration.to_tree(), "It") == configuration
    with pytest.raises(ShepherdError, match="It: there is no key 'path' here"):
        Configuration.from_tree({"path": "x"}, "It")


@pytest.mark.parametrize(
    ("name", "module", "layer"),
    [
        (f"{PREFIX}.11.self_attn.q_proj.lora_A.weight", "q_proj", 11),
        ("base_model.model.transformer.h.3.attn.c_attn.lora_B.weight", "c_attn", 3),
        ("base_model.model.model.layers.0.mlp.down_proj.ia3_l", "down_proj", 0),
        ("model.layers.0.mlp.down_proj.bias", "down_proj", 0),
        ("prompt_embeddings", "", None),
        ("base_model.model.model.embed_tokens.lora_embedding_A", "embed_tokens", None),
    ],
)
def test_a_tensors_name_tells_its_module_and_layer(name: str, module: str, layer: int | None) -> None:
    assert module_of(name) == module
    assert layer_of(name) == layer
