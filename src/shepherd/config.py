"""`RunConfig`: everything that determines a run, read from a preset or a YAML file plus overrides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, Field, model_validator

from shepherd.aggregation import AggregationChoice, FedAvg
from shepherd.capacity import CapacityChoice, Uniform
from shepherd.coreset import CoresetChoice, Full
from shepherd.data.allocation import AllocationChoice, Dirichlet
from shepherd.data.holdout import HoldoutChoice, PerCategory
from shepherd.errors import ShepherdError
from shepherd.evaluation.evaluate import EvaluationConfig
from shepherd.files import named_as_folder
from shepherd.model.base import BaseModelConfig
from shepherd.model.kinds import AdapterChoice, Lora
from shepherd.participation import ParticipationChoice, Random
from shepherd.personalisation import PersonalisationChoice
from shepherd.settings import SECRET, Settings, checked, missing_space, nearest, refuse_repeated
from shepherd.simulation import SystemChoice
from shepherd.strategy import OneOf, Strategy
from shepherd.training import Engine, TrainingChoice
from shepherd.transforms import TransformChoice

#: Letters of an override that are told, at most.
_SHOWN = 60
PRESETS = resources.files("shepherd") / "assets" / "presets"


class DataConfig(Settings):
    """Which instructions, and how they become tokens.

    Attributes
    ----------
    path : str
        A .json, .jsonl, .csv or .parquet file, a Hugging Face hub name, ``meadow`` or ``meadow-pairs``.
    columns : mapping of str to str
        Which of the file's columns is the ``instruction``, ``response``, ``context``, ``category``, ``rejected``;
        the usual layouts are recognised without it.
    rows : int, optional
        Use only the first so many rows, in the file's order: of a file sorted by category, few categories.
    prompt : str or mapping
        ``alpaca``, ``plain``, ``chat`` (the tokenizer's own), a template file, or a template.
    loss_on : str
        Whether the loss counts the ``response`` only, or ``all`` tokens.
    max_tokens : int
        Longest example, prompt and response together; longer ones are cut and counted.
    holdout : Holdout
        What is kept away from every client, to evaluate on.
    own_test : float
        Share of its examples, in [0, 1), that each client never trains on, to test personal adapters on.
    """

    path: str = "meadow"
    columns: dict[str, str] = {}
    rows: int | None = Field(None, gt=0)
    prompt: str | dict[str, str] = "alpaca"
    loss_on: Literal["response", "all"] = "response"
    max_tokens: int = Field(512, ge=16)
    holdout: HoldoutChoice = PerCategory()
    own_test: float = Field(0.0, ge=0, lt=1)


class PlaceConfig(Settings):
    """Where a run is kept, and who is told about it. Nothing here changes a result.

    Attributes
    ----------
    root : str
        The folder of all runs.
    name : str
        The run's folder in it: letters, digits, ``.``, ``_`` and ``-``, the first of them no ``.``.
    keep_checkpoints : int
        How many of the last committed rounds are kept.
    trackers : list of str
        ``tensorboard``, ``wandb``, ``mlflow``: told every figure, through Accelerate.
    threads : int, optional
        CPU threads; torch's own choice unless told.
    store : str, optional
        The folder of encoded instructions; ``.encoded`` in the root unless told.
    """

    root: str = "runs"
    name: Annotated[str, AfterValidator(named_as_folder)] = "run"
    keep_checkpoints: int = Field(2, gt=0)
    trackers: list[Literal["tensorboard", "wandb", "mlflow"]] = []
    threads: int | None = Field(None, gt=0)
    store: str | None = None

    @property
    def encoded(self) -> Path:
        """The folder of encoded instructions, shared by the runs of a root."""
        return Path(self.store or Path(self.root) / ".encoded")

    @property
    def directory(self) -> Path:
        """The run directory."""
        return Path(self.root) / self.name


class RunConfig(Settings):
    """A whole run. Every field has a default; a preset or a YAML file sets what it cares about.

    Made in Python of values that cannot be, it raises pydantic's ``ValidationError``, a ``ValueError``; `load_config`,
    and `shepherd.run` of a mapping, say the first mistake in a sentence, as `ShepherdError`.

    Attributes
    ----------
    seed : int
        Everything random in the run is keyed by it.
    rounds : int
        Communication rounds; 0 evaluates the untuned base.
    """

    seed: int = Field(0, ge=0)
    rounds: int = Field(20, ge=0)
    model: BaseModelConfig = BaseModelConfig()
    adapter: AdapterChoice = Lora()
    data: DataConfig = DataConfig()
    allocation: AllocationChoice = Dirichlet()
    participation: ParticipationChoice = Random()
    capacity: CapacityChoice = Uniform()
    coreset: CoresetChoice = Full()
    training: TrainingChoice = Engine()
    transforms: list[TransformChoice] = []
    aggregation: AggregationChoice = FedAvg()
    personalisation: PersonalisationChoice | None = None
    system: SystemChoice | None = None
    evaluation: EvaluationConfig = EvaluationConfig()
    run: PlaceConfig = PlaceConfig()

    @model_validator(mode="after")
    def _suits_all(self) -> Self:
        for strategy in self.strategies():
            strategy.suits(self)
        return self

    def strategies(self) -> Iterator[Strategy]:
        """Yield the strategies of the sections; not those within one another."""
        for section in type(self).model_fields:
            value = getattr(self, section)
            yield from (
                one for one in (value if isinstance(value, list) else [value]) if isinstance(one, Strategy)
            )

    @property
    def asks_categories(self) -> bool:
        """Whether the server needs to know how many examples of each category every client has."""
        return self.participation.asks_categories or self.aggregation.asks_categories

    @property
    def gives_own(self) -> bool:
        """Whether clients come to adapters of their own."""
        return self.personalisation is not None or self.aggregation.leaves_own

    def resolved(self) -> dict[str, Any]:
        """Return the full config as plain values: `parse_config` of it gives this config again."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """Return the full config as YAML."""
        return yaml.safe_dump(self.resolved(), sort_keys=False, allow_unicode=True)


def preset_names(folder: Traversable = PRESETS) -> list[str]:
    """Return the names of the presets shipped with Shepherd: of runs, unless another folder is given."""
    return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))


def preset_text(name: str, folder: Traversable = PRESETS) -> str:
    """Return a preset's YAML, comments included."""
    if name not in preset_names(folder):
        raise ShepherdError(f"There is no preset '{name}'{nearest(name, preset_names(folder))}")
    return (folder / f"{name}.yaml").read_text(encoding="utf-8")


def load_config(source: str, overrides: Iterable[str] = ()) -> RunConfig:
    """Read a config.

    Parameters
    ----------
    source : str
        A preset's name or the path of a YAML file.
    overrides : iterable of str
        ``key=value`` with dotted keys and YAML values, e.g. ``training.lr=1e-3``.

    Raises
    ------
    ShepherdError
        For a file or preset that is not there, YAML that is none, or a key or value that is wrong.
    """
    # Names first: who changes an algorithm and one of its settings means the new one's, in whatever order.
    ordered = sorted(overrides, key=lambda text: not text.partition("=")[0].strip().endswith(".name"))
    keys = [text.partition("=")[0].strip() for text in ordered]
    refuse_repeated(keys, "is given twice")
    stages = [read_values(source)]
    for override in ordered:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise ShepherdError(f"'{override}' is no override; write key=value, e.g. training.lr=1e-3.")
        stages.append(dict(stages[-1]))
        _assign(stages[-1], key.strip(), _scalar(text), override, keys)
    try:
        return parse_config(stages[-1], source)
    except ShepherdError as error:
        first = _first_with(str(error), stages, source)
        if first == 0:
            raise
        mistake = str(error).removeprefix(source)
        raise ShepherdError(f"{_override_in_words(ordered[first - 1])}{mistake}") from None


def _first_with(mistake: str, stages: Sequence[Mapping[str, Any]], source: str) -> int:
    """Return which of the stages, the last of which has a mistake, is the first that has it."""
    for number, values in enumerate(stages):
        try:
            parse_config(values, source)
        except ShepherdError as error:
            if str(error) == mistake:
                return number
    raise AssertionError("the last one has it")


def _override_in_words(override: str) -> str:
    """Name an override: by its key alone where it is long, or its value may hold a password or a key."""
    whole = len(override) <= _SHOWN and not SECRET.search(override)
    return f"The override {override}" if whole else f"The override of {override.partition('=')[0].strip()}"


def parse_config(values: Mapping[str, Any], source: str = "the config") -> RunConfig:
    """Validate plain values as a `RunConfig`; the first mistake is named with the nearest valid key."""
    return checked(RunConfig, values, source)


def read_values(source: str, presets: Traversable = PRESETS) -> dict[str, Any]:
    """Return the plain values of a preset or a YAML file."""
    path = Path(source)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            said = (isinstance(error, OSError) and error.strerror) or str(error)
            raise ShepherdError(f"Cannot read the config {source}: {said[:1].lower()}{said[1:]}.") from error
    elif source in preset_names(presets):
        text = preset_text(source, presets)
    else:
        known = nearest(source, preset_names(presets))
        raise ShepherdError(f"There is no preset or YAML file '{source}'{known}")
    try:
        values = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ShepherdError(f"{source} is not valid YAML: {_yaml_mistake(error)}") from error
    if not isinstance(values, dict):
        space = missing_space(values) if isinstance(values, str) else ""
        raise ShepherdError(f"{source} must hold keys and values, e.g. 'rounds: 20'{space}.")
    return values


def _yaml_mistake(error: yaml.YAMLError) -> str:
    """Return what the parser says, and what is mostly the cause where it says the least."""
    said = " ".join(str(error).split())
    unclear = "mapping values are not allowed" in said
    return said + (
        "; is a space missing after a colon, or are quotes around a value with one?" if unclear else "."
    )


def _scalar(text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ShepherdError(f"'{text}' is not a YAML value; quote it.") from error
    # YAML 1.1 reads 1e-3 as a word; a person means the number.
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _assign(values: dict[str, Any], key: str, value: Any, override: str, given: Sequence[str]) -> None:
    """Change one value of a config's; of `given` keys none makes room for another."""
    *parents, last = key.split(".")
    place = values
    for parent in parents:
        inner = place.get(parent, {})
        # `aggregation: fedavg` is short for `aggregation: {name: fedavg}`.
        inner = {"name": inner} if isinstance(inner, str) else inner
        if not isinstance(inner, dict):
            raise ShepherdError(f"'{override}': {parent} has no keys below it.")
        place[parent] = place = dict(inner)
    if last == "name" and place.get("name", value) != value:
        _keep_shared(place, parents, str(value))
    elif value is not None:
        _drop_instead(place, parents, last, given)
    place[last] = value


def _keep_shared(place: dict[str, Any], section: Sequence[str], name: str) -> None:
    """Another algorithm keeps those of the preset's fields that it has too."""
    wanted, before = _strategy(section, name), _strategy(section, place.get("name"))
    if wanted is not None:
        own = wanted.of_its_own | (before.of_its_own if before is not None else frozenset())
        for key in set(place) - (set(wanted.model_fields) - own):
            del place[key]


def _drop_instead(place: dict[str, Any], section: Sequence[str], key: str, given: Sequence[str]) -> None:
    """A setting takes the place of the preset's other one for the same thing."""
    wanted = _strategy(section, place.get("name"))
    other = wanted.instead.get(key, "") if wanted is not None else ""
    if ".".join([*section, other]) not in given:
        place.pop(other, None)


def _strategy(section: Sequence[str], name: str | None) -> type[Strategy] | None:
    """Return the class that a section's name, or else its default, stands for; None where it stands for none."""
    model: Any = RunConfig
    choice = None
    for key in section:
        field = getattr(model, "model_fields", {}).get(key)
        if field is None:
            return None
        model, choice = field.annotation, next((m for m in field.metadata if isinstance(m, OneOf)), None)
    if choice is None:
        return None
    try:
        return choice.find(choice.default if name is None else str(name))
    except ValueError:
        return None  # said better when the whole config is validated
