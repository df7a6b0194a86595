"""docs/extending.md, run as it stands: somebody else's classes, from outside the package, each in a run of its own."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from shepherd.config import RunConfig, parse_config
from shepherd.runs import execute
from shepherd.strategy import OneOf
from tiny_runs import lines, tiny_values

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
EXAMPLES = re.findall(r"```python\n(.*?)```\n\n```yaml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
NAMES = [re.match(r'"""(\w+)\.py', module)[1] for module, _ in EXAMPLES]  # type: ignore[index]


@pytest.mark.parametrize(("module", "section"), EXAMPLES, ids=NAMES)
def test_an_example_of_the_page_runs_as_it_stands(
    module: str, section: str, tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = module[3:].partition(".py")[0]
    (tmp_path / f"{name}.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    given = yaml.safe_load(section)
    usual = tiny_values(tiny_base, tmp_path, rounds=2)
    changes = {
        "evaluation": {"every": 2, "metrics": [], "answers": 0},
        **given,
        "data": {**usual["data"], **given.get("data", {})},  # an example leaves the file to its reader
    }
    config = parse_config({**usual, **changes})
    execute(config)
    rounds = [line for line in lines(config) if line["scope"] == "round"]
    assert len(rounds) == 2
    assert any(line["update_norm"] > 0 for line in rounds)


def seams(hint: Any) -> Iterator[OneOf]:
    """Yield every choice between classes that a config's type hint leads to, however deep."""
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        for field in hint.model_fields.values():
            yield from seams(Annotated[field.annotation, None, *field.metadata])
    for one in getattr(hint, "__metadata__", ()):
        if isinstance(one, OneOf):
            yield one
            for algorithm in one.classes:
                yield from seams(algorithm)
    for part in get_args(hint):
        yield from seams(part)


SEAMS = {one.kind: one for one in seams(RunConfig)}


@pytest.mark.parametrize("seam", SEAMS.values(), ids=[kind.__name__ for kind in SEAMS])
def test_every_seam_has_an_example(seam: OneOf) -> None:
    shown = {
        base for module, _ in EXAMPLES for base in re.findall(r"^class \w+\((\w+)\)", module, re.MULTILINE)
    }
    assert shown & {seam.kind.__name__, *(algorithm.__name__ for algorithm in seam.classes)}
