"""Adapters of low rank: LoRA; DoRA, which adds a length to every output; LoRA-SB, which fixes LoRA's factors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from shepherd.errors import ShepherdError
from shepherd.model.kinds.base import AdapterKind

if TYPE_CHECKING:
    import peft

    from shepherd.model.attached import Attached
    from shepherd.model.base import Base

ALL_LINEAR = "all-linear"


class LowRank(AdapterKind):
    """What LoRA and its kin have in common.

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
    layers : list of int, optional
        The base's layers that get an adapter, from 0; all unless told.
    """

    rank: int = Field(8, gt=0)
    alpha: float = Field(16.0, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: str | list[str] = ALL_LINEAR
    rslora: bool = False
    layers: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _names_with_layers(self) -> Self:
        if self.layers is not None and isinstance(self.targets, str) and self.targets != ALL_LINEAR:
            raise ValueError("layers needs targets to be all-linear or a list of names, not a pattern")
        return self

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

    def attach(self, base: Base) -> Attached:
        """Put the adapter into all layers of a base, or into those that are named."""
        from shepherd.model.attached import attach_peft, linear_names

        config = self.peft_config()
        if self.layers is not None:
            config.layers_to_transform = _checked(self.layers, base)
            # PEFT takes numbers of layers only beside names of modules.
            config.target_modules = linear_names(base) if self.targets == ALL_LINEAR else set(self.targets)
        return attach_peft(base, config)


class Lora(LowRank):
    """LoRA (arXiv 2106.09685): ``h = W0 x + s B A x`` with ``s = alpha / rank``; A random, B zero."""

    factored: ClassVar[bool] = True
    name: str = "lora"


class Dora(LowRank):
    """DoRA (arXiv 2402.09353): ``W = m (W0 + s B A) / ||W0 + s B A||``, every row scaled to a trained length m.

    PEFT computes it, the length's gradient as in the paper's section 4.3: the norm counts as a constant.
    """

    name: str = "dora"

    def peft_config(self) -> peft.LoraConfig:
        """Return PEFT's `LoraConfig` with DoRA's lengths."""
        config = super().peft_config()
        config.use_dora = True
        return config


class LoraSB(LowRank):
    """Fed-SB's adapter (arXiv 2502.15436), which is LoRA-SB (2411.19557): ``W0 + s B R A``, and R alone is trained.

    A and B have orthonormal rows and columns, are everybody's and never travel; R [rank, rank] is zero at first. So the
    mean of clients' R is the mean of their products, under any rule that averages, and what travels does not depend on
    how wide the layers are.

    It departs from the papers in where A and B come from, and where R begins. There they are the leading singular
    vectors, and R their singular values, of a first update of the weights, ``-lr sign(gradient)``, estimated from some
    training examples: a round of dense gradients before the first. Here no example is asked for.

    Attributes
    ----------
    rank : int
        Rows and columns of R; no more than any adapted layer is wide.
    directions : str
        What A and B span: ``random`` directions, drawn by the run's seed, or the ``base`` weight's leading singular
        ones, found by subspace iteration, as LoRA-XS (arXiv 2405.17604) has them but for their lengths. The latter are
        everybody's only where all hold the base in the same dtype.
    """

    name: str = "lora_sb"
    rank: int = Field(32, gt=0)
    directions: Literal["random", "base"] = "random"

    def suits(self, config: Any) -> None:
        """Refuse the directions of a quantised base's weights."""
        if self.directions == "base" and config.model.quantisation != "none":
            raise ValueError(
                f"adapter.name=lora_sb takes its directions from the base's weights, which a "
                f"{config.model.quantisation} base holds packed; set adapter.directions=random, or choose "
                "adapter.name=lora"
            )

    def attach(self, base: Base) -> Attached:
        """Put LoRA into a base, and fix its factors."""
        from shepherd.model.fixed_factors import FixedFactors

        return FixedFactors(super().attach(base).peft, self, base.name)


def _checked(layers: list[int], base: Base) -> list[int]:
    count = getattr(base.model.config, "num_hidden_layers", None)
    if isinstance(count, int) and max(layers) >= count:
        raise ShepherdError(
            f"adapter.layers names layer {max(layers)}, and '{base.name}' has {count}, numbered from 0 to {count - 1}."
        )
    return sorted(set(layers))
