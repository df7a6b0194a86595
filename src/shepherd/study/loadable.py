"""Can the models on this machine be loaded? Found out from their tokenizers, which takes seconds and no weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from shepherd.errors import ShepherdError
from shepherd.model.base import BaseModelConfig, load_tokenizer
from shepherd.runs import load_run
from shepherd.study.foreign import base_of
from shepherd.study.sources import Source


def check_loadable(sources: Sequence[Source]) -> None:
    """Refuse a run, adapter or model whose base is not to be had; endpoints are passed over.

    Raises
    ------
    ShepherdError
        Naming the first such model.
    """
    for source in sources:
        if source.kind == "endpoint":
            continue
        try:
            load_tokenizer(_base(source))
        except ShepherdError as error:
            raise ShepherdError(f"The model '{source.label}' cannot be asked: {error}") from error


def _base(source: Source) -> BaseModelConfig:
    if source.kind == "run":
        return load_run(source.place).config.model
    if source.kind == "adapter":
        return BaseModelConfig(base=base_of(Path(source.place)))
    return BaseModelConfig(base=source.place)
