"""Adapters from elsewhere: any kind that PEFT knows, loaded by PEFT itself on the base it names."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from shepherd.errors import ShepherdError, first_line
from shepherd.model.adapter import CONFIG_FILE, WEIGHTS_FILE
from shepherd.model.base import Base
from shepherd.model.batch import Example
from shepherd.model.losses import ExampleLosses

_INCOMPLETE = "Found missing adapter keys"


@dataclass(frozen=True)
class ForeignModel:
    """A PEFT model that Shepherd did not build."""

    peft: Any
    tokenizer: Any
    device: torch.device


def base_of(folder: Path) -> str:
    """Return the name of the base that an adapter was made for.

    Raises
    ------
    ShepherdError
        If the adapter's config names none or cannot be read, or its weights are not safetensors.
    """
    path = folder / CONFIG_FILE
    try:
        base = json.loads(path.read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError) as error:
        raise ShepherdError(f"{path} is damaged and cannot be read ({error}); restore it.") from error
    if not isinstance(base, str) or not base:
        raise ShepherdError(f"{path} names no base model; write base_model_name_or_path there.")
    if not (folder / WEIGHTS_FILE).is_file():
        raise ShepherdError(f"{folder} holds no {WEIGHTS_FILE}; save the adapter as safetensors.")
    return base


def load_foreign(folder: Path, base: Base) -> ForeignModel:
    """Put the adapter in `folder` on its base, which is changed in place.

    Raises
    ------
    ShepherdError
        If PEFT cannot, or the adapter lacks a part.
    """
    import peft

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            model = peft.PeftModel.from_pretrained(base.model, str(folder), local_files_only=True).eval()
        except Exception as error:  # every kind of adapter has its own ways to fail
            raise ShepherdError(
                f"The adapter {folder} does not fit '{base.name}': {first_line(error)}"
            ) from error
    incomplete = [str(warning.message) for warning in said if str(warning.message).startswith(_INCOMPLETE)]
    if incomplete:
        raise ShepherdError(f"The adapter {folder} lacks a part: {incomplete[0][:200]}; save it again.")
    for warning in said:
        logging.getLogger(__name__).debug("%s", warning.message)
    return ForeignModel(model.to(base.device), base.tokenizer, base.device)


@torch.inference_mode()
def foreign_losses(model: ForeignModel, examples: Sequence[Example]) -> ExampleLosses:
    """Return every example's loss, one full forward pass each: virtual tokens may stand before its own."""
    sums, labels = np.zeros(len(examples)), np.zeros(len(examples))
    for place, (tokens, unlabelled) in enumerate(examples):
        ids = torch.from_numpy(np.asarray(tokens, dtype=np.int64)).to(model.device)
        logits = model.peft(input_ids=ids[None], attention_mask=torch.ones_like(ids)[None]).logits[0]
        targets = ids[unlabelled:]
        predicting = logits[-len(targets) - 1 : -1].float()
        sums[place] = float(functional.cross_entropy(predicting, targets, reduction="sum"))
        labels[place] = len(targets)
    return ExampleLosses(sums, labels)
