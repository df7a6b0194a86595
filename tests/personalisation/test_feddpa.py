"""FedDPA: both adapters as one, the weights of inputs, what its own is trained on, and what PEFT loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from torch.nn import functional

from shepherd.config import parse_config
from shepherd.model.adapted import AdaptedModel
from shepherd.model.adapter import Adapter
from shepherd.model.batch import Example
from shepherd.model.features import FeatureSettings
from shepherd.model.lora_pairs import pairs_of, stacked
from shepherd.model.losses import example_losses
from shepherd.personalisation import FedDPAF, FedDPAT, Personalisation
from shepherd.personalisation.mixed import STEPS, Likeness, Mixed
from shepherd.personalise import Personaliser
from shepherd.run_directory import RunDirectory
from shepherd.runs import execute
from shepherd.training import Engine, LocalTask
from tiny_models import random_like, untrained
from tiny_runs import adapter_bytes, tiny_values

SCALE = 16 / 2  # alpha / rank of `untrained`


class Listed:
    """Examples from a list."""

    def __init__(self, examples: list[Example]) -> None:
        self.examples = examples

    def example(self, row: int) -> Example:
        return self.examples[row]


def some_examples(count: int = 9) -> list[Example]:
    """Return examples with a common beginning and prompts of different lengths."""
    draw = np.random.default_rng(5)
    begin = np.array([1, 7, 8, 9])
    return [
        (np.concatenate([begin, draw.integers(10, 4000, 4 + place)]), 5 + place % 3) for place in range(count)
    ]


def two(model: AdaptedModel) -> tuple[Adapter, Adapter]:
    """Return adapters for everybody and for a client."""
    return random_like(model.initial, 0.2, 1), random_like(model.initial, 0.2, 2)


def mixed(model: AdaptedModel, weight: float = 0.5) -> Mixed:
    """Mix these, compared with the first three examples by their last tokens."""
    shared, local = two(model)
    settings = FeatureSettings(layers="last", token="last")
    return Mixed.at(weight, shared, local, Likeness.to(some_examples(3), local, settings, 0.9, model))


def dense(base: Path, parts: list[tuple[Adapter, float]]) -> Any:
    """Return transformers' own model with ``W0 + s sum weight B A``, the sum made in float64."""
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    weights = dict(model.named_parameters())
    for pair in pairs_of(parts[0][0].layout):
        name = pair.module.removeprefix("base_model.model.") + ".weight"
        more = sum(weight * adapter[pair.b].double() @ adapter[pair.a].double() for adapter, weight in parts)
        weights[name].data += (SCALE * more).float()  # type: ignore[union-attr]
    return model.eval()


def sum_of_losses(model: Any, example: Example) -> torch.Tensor:
    tokens, unlabelled = torch.from_numpy(example[0])[None], example[1]
    logits = model(tokens).logits[0, unlabelled - 1 : -1]
    return functional.cross_entropy(logits, tokens[0, unlabelled:], reduction="sum")


def test_the_stacked_product_is_the_weighted_sum_of_products(tiny_base: Path) -> None:
    model = untrained(tiny_base)
    shared, local = two(model)
    found = stacked([(shared, 0.3), (local, 0.7)])
    for pair in pairs_of(model.layout):
        wanted = 0.3 * shared[pair.b].double() @ shared[pair.a].double()
        wanted += 0.7 * local[pair.b].double() @ local[pair.a].double()
        assert found[pair.a].shape[0] == 4
        torch.testing.assert_close(found[pair.b].double() @ found[pair.a].double(), wanted, atol=1e-6, rtol=0)


def test_who_counts_nothing_takes_no_room(tiny_base: Path) -> None:
    shared, local = two(untrained(tiny_base))
    assert stacked([(shared, 1.0), (local, 0.0)]).to_bytes() == shared.to_bytes()
    assert stacked([(shared, 0.0)]).norm() > 0
    assert all(not tensor.any() for name, tensor in stacked([(shared, 0.0)]).items() if ".lora_B" in name)


def test_without_weight_it_is_everybodys_adapter_and_at_one_the_clients(tiny_base: Path) -> None:
    model, examples = untrained(tiny_base), some_examples()
    mix = mixed(model)
    nothing, everything = np.zeros(len(examples)), np.ones(len(examples))
    at_nothing, at_everything = (mix.losses(model, examples, weights) for weights in (nothing, everything))
    for adapter, found in ((mix.shared, at_nothing), (mix.local, at_everything)):
        model.write(adapter)
        wanted = example_losses(model, examples)
        assert found.sums.tolist() == wanted.sums.tolist()
        assert found.labels.tolist() == wanted.labels.tolist()


def test_every_example_has_its_own_weight(tiny_base: Path) -> None:
    model, examples = untrained(tiny_base), some_examples()
    mix, weights = mixed(model), np.linspace(0, 1, len(some_examples()))
    found = mix.losses(model, examples, weights).sums
    for example, weight, loss in zip(examples, weights, found, strict=True):
        rounded = round(weight * STEPS) / STEPS
        plain = dense(tiny_base, [(mix.shared, 1 - rounded), (mix.local, rounded)])
        assert loss == pytest.approx(sum_of_losses(plain, example).item(), rel=1e-5)
    tested = mix.test(model, examples)
    own = mix.likeness.weights(model, examples)
    assert tested.weight == pytest.approx(own.mean())
    assert tested.loss == mix.losses(model, examples, own).mean


@pytest.mark.parametrize("token", ["last", "mean"])
def test_weights_are_scaled_mean_cosines_of_prompts(tiny_base: Path, token: Any) -> None:
    model, examples = untrained(tiny_base), some_examples()
    _, local = two(model)
    plain = dense(tiny_base, [(local, 1.0)]).double()

    def state(example: Example) -> np.ndarray:
        tokens = torch.from_numpy(example[0][: example[1]])[None]
        states = plain(tokens, output_hidden_states=True).hidden_states[-1][0]
        return np.asarray((states[-1] if token == "last" else states.mean(0)).detach())

    def cosine(one: np.ndarray, other: np.ndarray) -> float:
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    likeness = Likeness.to(examples[:3], local, FeatureSettings(layers="last", token=token), 0.8, model)
    found = likeness.weights(model, examples)
    for example, weight in zip(examples, found, strict=True):
        cosines = [cosine(state(example), state(own)) for own in examples[:3]]
        assert weight == pytest.approx(min(1.0, max(0.0, 0.8 * sum(cosines) / 3)), abs=1e-5)
    other = [(np.append(tokens[:unlabelled], 3), unlabelled) for tokens, unlabelled in examples]
    assert likeness.weights(model, other).tolist() == pytest.approx(found.tolist())  # answers play no part


def test_what_is_unlike_the_clients_own_has_no_weight_below_zero() -> None:
    own = np.eye(2, dtype=np.float32)[:1]
    found = np.array([[-1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])

    likeness = Likeness(Adapter({}), FeatureSettings(), own, 0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shepherd.personalisation.mixed._prompt_features", lambda *_: found)
        assert likeness.weights(None, []).tolist() == [0.0, 0.0, 0.5]  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", [FedDPAF(weight=0.3), FedDPAT(weight=1.0)])
def test_its_own_begins_where_everybodys_is(tiny_base: Path, rule: Personalisation) -> None:
    model, examples = untrained(tiny_base), some_examples()
    shared, _ = two(model)
    model.write(shared)
    wanted = example_losses(model, examples).sums
    with model.resting_on(rule.beneath(shared, {})):
        model.write(rule.start(shared, None))
        np.testing.assert_allclose(example_losses(model, examples).sums, wanted, rtol=1e-5)
    model.write(shared)
    assert example_losses(model, examples).sums.tolist() == wanted.tolist()


def test_a_step_goes_down_the_gradient_of_the_mixed_models_loss(tiny_base: Path) -> None:
    model, examples = untrained(tiny_base), some_examples(4)
    shared, _ = two(model)
    rule, lr = FedDPAF(weight=0.4), 0.01
    training = Engine(lr=lr, batch_size=4, steps=1, optimizer="sgd")
    task = LocalTask(Listed(examples), np.arange(4), seed=0, round=0, rounds=1, client=0)
    begun = rule.start(shared, None)
    before = shared.to_bytes()
    with model.resting_on(rule.beneath(shared, {})):
        ((trained, _),) = training.train_together(model, [begun], [task])
    assert shared.to_bytes() == before

    plain = transformers.AutoModelForCausalLM.from_pretrained(tiny_base)
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in begun.items()}
    weights = {name: tensor.detach() for name, tensor in plain.named_parameters()}
    for pair in pairs_of(shared.layout):
        name = pair.module.removeprefix("base_model.model.") + ".weight"
        frozen = 0.6 * shared[pair.b] @ shared[pair.a]
        weights[name] = weights[name] + SCALE * (frozen + leaves[pair.b] @ leaves[pair.a])

    def with_weights(tokens: torch.Tensor) -> Any:
        return torch.func.functional_call(plain, weights, (tokens,))

    labels = sum(len(tokens) - unlabelled for tokens, unlabelled in examples)
    loss = torch.stack([sum_of_losses(with_weights, example) for example in examples]).sum() / labels
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True):
        torch.testing.assert_close(trained[name], leaf.detach() - lr * gradient, atol=1e-6, rtol=1e-4)


def own_test_values(base: Path, root: Path, name: str, **changes: Any) -> dict[str, Any]:
    values = tiny_values(base, root, name=name, rounds=2, **changes)
    return {**values, "data": {**values["data"], "own_test": 0.25}}


def test_trained_without_everybodys_it_is_fine_tuned(tiny_base: Path, tmp_path: Path) -> None:
    found = {}
    for name, more in (("fine_tune", {}), ("feddpa-f", {"weight": 1.0})):
        values = own_test_values(tiny_base, tmp_path, name, personalisation={"name": name, **more})
        found[name] = Personaliser(execute(parse_config(values)))._own_model(1)
    mix = found["feddpa-f"]
    assert isinstance(mix, Mixed)
    assert mix.local.to_bytes() == found["fine_tune"].adapter.to_bytes()


def test_everybodys_adapter_is_what_it_is_without(tiny_base: Path, tmp_path: Path) -> None:
    def run(name: str, **changes: Any) -> Any:
        values = tiny_values(tiny_base, tmp_path, name=name, rounds=2, **changes)
        found = execute(parse_config(values))
        return found, RunDirectory(found.directory).committed(found.model.initial)

    plain, _ = run("plain")
    dual, state = run("dual", personalisation="feddpa-t")
    assert adapter_bytes(plain.config) == adapter_bytes(dual.config)
    own = [kept["training"]["personal"] for _, kept in state.clients.items()]
    assert len(own) >= 2
    assert len({vector.sum().item() for vector in own}) == len(own)
    assert dual.model.rests_on == {}


def test_clients_trained_at_once_have_the_adapters_they_have_alone(tiny_base: Path, tmp_path: Path) -> None:
    def kept(at_once: int) -> dict[str, torch.Tensor]:
        training = {"lr": 1e-2, "batch_size": 4, "clients_at_once": at_once}
        values = tiny_values(
            tiny_base, tmp_path, f"at-once-{at_once}", training=training, personalisation="feddpa-t"
        )
        found = execute(parse_config(values))
        clients = RunDirectory(found.directory).committed(found.model.initial).clients
        return {client: kept["training"]["personal"] for client, kept in clients.items()}

    alone, together = kept(1), kept(2)
    for client, vector in alone.items():
        torch.testing.assert_close(together[client], vector, atol=1e-4, rtol=1e-3)


def test_peft_loads_the_mix_at_one_weight(tiny_base: Path, tmp_path: Path) -> None:
    values = own_test_values(tiny_base, tmp_path, "exported", personalisation={"name": "feddpa-f"})
    personaliser = Personaliser(execute(parse_config(values)))
    (score,) = personaliser.scores([1])
    mix, model = personaliser._own_model(1), personaliser._prepared.model
    assert isinstance(mix, Mixed)
    assert mix.weight == score.peft_weight
    assert score.own_weight is not None
    assert 0 < score.own_weight <= 0.5
    tokens = torch.arange(1, 12)[None]
    both = stacked([(mix.shared, 1 - mix.weight), (mix.local, mix.weight)])
    with model.lora.carrying(both):
        live = model.peft(input_ids=tokens).logits
    plain = transformers.AutoModelForCausalLM.from_pretrained(tiny_base)
    loaded = peft.PeftModel.from_pretrained(plain, personaliser.folder / score.client / "adapter")
    torch.testing.assert_close(loaded(tokens).logits, live, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adapter": "dora"}, r"stacks the factors.*adapter\.name=lora"),
        ({"aggregation": "fedex"}, "moves what is learnt into the base.*fine_tune"),
        ({"aggregation": "fedsa"}, "leaves clients adapters of their own.*fedavg"),
        ({"model": {"quantisation": "4bit"}}, "a 4bit base cannot take.*fine_tune"),
        ({"data": {"loss_on": "all"}}, r"data\.loss_on=response"),
        ({"capacity": {"name": "by_size", "tiers": [{"rank": 2}]}, "aggregation": "flexlora"}, "feddpa-f"),
    ],
    ids=["dora", "fedex", "fedsa", "quantised", "loss on all", "capacity"],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message):
        parse_config({"personalisation": "feddpa-t", **changes})
