"""Loading the frozen base model and its tokenizer, from the hub, a directory or the package itself."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from shepherd.errors import ShepherdError, first_line
from shepherd.hub import only_cached
from shepherd.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedModel

EMBEDDED = "lamb"
log = logging.getLogger(__name__)
_CHECKED = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


class BaseModelConfig(Settings):
    """Which base model, and how it is held.

    Attributes
    ----------
    base : str
        A Hugging Face hub name, a local directory, or ``lamb``, the small model shipped with Shepherd.
    dtype : str
        ``auto`` is bfloat16 where the GPU has it, float32 on a CPU.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    quantisation : str
        ``8bit`` or ``4bit`` (nf4) through bitsandbytes, on a CUDA device.
    trust_remote_code : bool
        Whether code that comes with a hub model may run here. Off by default.
    """

    base: str = EMBEDDED
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    quantisation: Literal["none", "8bit", "4bit"] = "none"
    trust_remote_code: bool = False


@dataclass(frozen=True)
class Base:
    """A loaded base model: frozen, in evaluation mode, on its device."""

    model: PreTrainedModel
    tokenizer: Any
    device: torch.device
    name: str
    fingerprint: str


def load_tokenizer(config: BaseModelConfig) -> Any:
    """Load the base model's tokenizer; it always has a padding token afterwards."""
    from transformers import AutoTokenizer

    source, local = source_of(config.base)
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            source, trust_remote_code=config.trust_remote_code, local_files_only=local
        )
    except Exception as error:  # a broken file can raise anything
        raise ShepherdError(f"Cannot load a tokenizer from '{config.base}': {first_line(error)}") from error
    if tokenizer.eos_token_id is None:
        raise ShepherdError(
            f"The tokenizer of '{config.base}' has no end-of-sequence token, so answers could not end; "
            "set eos_token in its tokenizer_config.json."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_base(config: BaseModelConfig) -> Base:
    """Load base model and tokenizer.

    Raises
    ------
    ShepherdError
        If the device, the quantisation or the model is not to be had, saying which and what to do.
    """
    # Here and not above: a command that loads no model does not wait seconds for transformers.
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    device = choose_device(config.device)
    source, local = source_of(config.base)
    quantisation = _quantisation(config, device)
    tokenizer = load_tokenizer(config)
    disable_progress_bar()
    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            source,
            dtype=choose_dtype(config.dtype, device),
            trust_remote_code=config.trust_remote_code,
            local_files_only=local,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that `check_complete` can refuse them by name
            **quantisation,
        )
    except Exception as error:  # a broken file can raise anything
        raise ShepherdError(f"Cannot load base model '{config.base}': {first_line(error)}") from error
    check_complete(found, config.base)
    check_finite(model, config.base)
    if config.quantisation == "none":
        model.to(device)
    model.requires_grad_(False).eval()
    model.config.use_cache = False
    return Base(model, tokenizer, device, config.base, fingerprint(model))


def choose_device(name: str) -> torch.device:
    """Return the device called `name`; ``auto`` takes a CUDA or Apple GPU where there is one."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ShepherdError(
            f"model.device '{name}' cannot be used here ({first_line(error)}); use auto or cpu."
        ) from error
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the dtype the base is held in; ``auto`` is bfloat16 on a GPU that computes in it."""
    if name != "auto":
        return getattr(torch, name)
    on_gpu = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if on_gpu else torch.float32


def fingerprint(model: PreTrainedModel) -> str:
    """Return a hash of names, shapes, dtypes and up to 256 values, evenly spread, of every tensor.

    Cheap at any size; it tells base models apart, it does not prove that they were not tampered with.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        flat = tensor.detach().reshape(-1)
        sample = flat[:: max(1, flat.numel() // 256)][:256].float().cpu()
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(sample.numpy().tobytes())
    return digest.hexdigest()


def source_of(name: str) -> tuple[str, bool]:
    """Return where `name` is loaded from, and whether only local files may be used."""
    if name == EMBEDDED:
        return str(resources.files("shepherd") / "assets" / EMBEDDED), True
    try:
        path = Path(name).expanduser()
    except RuntimeError as error:
        raise ShepherdError(
            f"model.base: there is no home of the user in {name}; give another path."
        ) from error
    if not path.exists():
        if name.startswith((".", "/", "~")):
            raise ShepherdError(
                f"model.base: there is no directory {name}; give a hub name or a model directory."
            )
        return name, only_cached(name, "model")
    if not (path / "config.json").is_file():
        raise ShepherdError(f"model.base: {name} holds no config.json; give a Hugging Face model directory.")
    if not any(next(path.glob(pattern), None) for pattern in _WEIGHTS):
        raise ShepherdError(
            f"model.base: {name} holds no weights (*.safetensors); download the model's weights into it."
        )
    return str(path), True


def check_complete(found: Mapping[str, Any], name: str) -> None:
    """Refuse a base that transformers would fill up with random weights."""
    for what in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        keys = sorted(map(str, found.get(what) or ()))
        if keys and what == "unexpected_keys":
            log.warning(
                "'%s' holds %d tensors its config has no place for, such as %s.", name, len(keys), keys[0]
            )
        elif keys:
            raise ShepherdError(
                f"The weights of '{name}' do not fit its config.json: {len(keys)} {what.replace('_keys', '')}, such "
                f"as {keys[0]}; give a complete model."
            )


def check_finite(model: torch.nn.Module, name: str) -> None:
    """Refuse a base with a weight that is no number: nothing that is computed with it would be one."""
    for key, weight in model.named_parameters():
        if weight.dtype in _CHECKED and weight.numel():
            ends = torch.stack(torch.aminmax(weight.detach()))  # of NaN among them, NaN
            if not ends.isfinite().all():
                raise ShepherdError(
                    f"'{name}' has weights that are not finite, in {key}: its files are damaged, or hold values too "
                    f"large for {str(weight.dtype).removeprefix('torch.')}; get them anew, or set model.dtype."
                )


def _quantisation(config: BaseModelConfig, device: torch.device) -> dict[str, Any]:
    if config.quantisation == "none":
        return {}
    if device.type != "cuda":
        raise ShepherdError(
            f"model.quantisation={config.quantisation} needs a CUDA GPU and this run is on "
            f"{device.type}; set model.quantisation=none."
        )
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise ShepherdError(
            f"model.quantisation={config.quantisation} needs bitsandbytes; "
            "install it with: pip install 'fedshepherd[quantise]'"
        ) from error
    from transformers import BitsAndBytesConfig

    settings = BitsAndBytesConfig(
        load_in_8bit=config.quantisation == "8bit",
        load_in_4bit=config.quantisation == "4bit",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=choose_dtype(config.dtype, device),
    )
    return {"quantization_config": settings, "device_map": {"": device}}
