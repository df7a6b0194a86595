"""The kinds of adapter a run can train. Today LoRA, through the PEFT library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from shepherd.strategy import Strategy, one_of

if TYPE_CHECKING:
    import peft


class AdapterKind(Strategy):
    """A parameter-efficient way to adapt a frozen base model."""

    def peft_config(self) -> peft.PeftConfig:
        """Return the configuration PEFT attaches the adapter with."""
        raise NotImplementedError


class Lora(AdapterKind):
    """LoRA (arXiv 2106.09685): ``h = W0 x + s B A x`` with ``s = alpha / rank``; A random, B zero.

    Attributes
    ----------
    rank : int
        Inner dimension r of the product B A.
    alpha : float
        Numerator of the scale s.
    dropout : float
        Probability that an input of A is dropped in training, in [0, 1).
    targets : str or list of str
        ``all-linear`` (every linear layer but the head, as FedIT does), or the modules' names.
    rslora : bool
        Scale by ``alpha / sqrt(rank)`` instead (arXiv 2312.03732).
    """

    name: str = "lora"
    rank: int = Field(8, gt=0)
    alpha: float = Field(16.0, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: str | list[str] = "all-linear"
    rslora: bool = False

    def peft_config(self) -> peft.LoraConfig:
        """Return PEFT's `LoraConfig` for a causal language model."""
        import peft

        return peft.LoraConfig(
            task_type="CAUSAL_LM",
            r=self.rank,
            # PEFT types alpha as an integer but only ever divides it.
            lora_alpha=int(self.alpha) if float(self.alpha).is_integer() else self.alpha,
            lora_dropout=self.dropout,
            target_modules=self.targets,
            use_rslora=self.rslora,
        )


AdapterChoice = one_of(AdapterKind, Lora)
