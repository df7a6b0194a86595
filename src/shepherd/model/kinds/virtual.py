"""Virtual tokens before every prompt: prompt tuning, p-tuning, prefix tuning. The base's weights stay as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from shepherd.model.kinds.base import AdapterKind

if TYPE_CHECKING:
    import peft

    from shepherd.model.attached import Attached
    from shepherd.model.base import Base


class VirtualKind(AdapterKind):
    """What these have in common.

    Attributes
    ----------
    tokens : int
        Number of virtual tokens.
    """

    starts_at_base: ClassVar[bool] = False

    tokens: int = Field(20, gt=0, le=8192)


class PromptTuning(VirtualKind):
    """Prompt tuning (arXiv 2104.08691; federated, FedPrompt, arXiv 2208.12268): trained embeddings before every prompt.

    Attributes
    ----------
    init : str
        Embeddings of random words of the ``vocabulary``, or ``random`` normal numbers.
    text : str, optional
        Begin with the embeddings of this text instead, repeated or cut to ``tokens``.
    """

    name: str = "prompt"
    init: Literal["vocabulary", "random"] = "vocabulary"
    text: str | None = Field(None, min_length=1)

    def peft_config(self) -> peft.PromptTuningConfig:
        """Return PEFT's `PromptTuningConfig`."""
        import peft

        return peft.PromptTuningConfig(
            task_type="CAUSAL_LM",
            num_virtual_tokens=self.tokens,
            prompt_tuning_init="SAMPLE_VOCAB" if self.init == "vocabulary" else "RANDOM",
        )

    def attach(self, base: Base) -> Attached:
        """Put the embeddings before a base, first those of the text if there is one."""
        from shepherd.model.virtual_tokens import begin_with_text

        attached = super().attach(base)
        if self.text is not None:
            begin_with_text(attached, base, self.text, self.tokens)
        return attached


class PTuning(VirtualKind):
    """P-tuning (arXiv 2103.10385; averaged, FedPTuning in FedKSeed's tables): embeddings made by a trained network.

    What is trained, sent and averaged are the network's weights; PEFT's file holds the embeddings it makes.

    Attributes
    ----------
    hidden : int, optional
        Width of the network's two inner layers; the base's hidden size unless told.
    """

    name: str = "ptuning"
    hidden: int | None = Field(None, gt=0, le=65536)

    def peft_config(self) -> peft.PromptEncoderConfig:
        """Return PEFT's `PromptEncoderConfig`, with the network of fully connected layers."""
        import peft

        return peft.PromptEncoderConfig(
            task_type="CAUSAL_LM", num_virtual_tokens=self.tokens, encoder_hidden_size=self.hidden
        )


class PrefixTuning(VirtualKind):
    """Prefix tuning (arXiv 2101.00190): trained keys and values before every prompt, in every layer.

    Attributes
    ----------
    init : str
        Keys and values of random words of the ``vocabulary`` (the paper's section 7.4 finds real words best),
        or ``random`` normal numbers.
    projection : bool
        Train a network that makes them, as the paper does; it begins at random. PEFT's file holds what it makes.
    hidden : int, optional
        The network's inner width; that of the keys unless told.
    """

    name: str = "prefix"
    init: Literal["vocabulary", "random"] = "vocabulary"
    projection: bool = False
    hidden: int | None = Field(None, gt=0, le=65536)

    @model_validator(mode="after")
    def _network(self) -> Self:
        if self.hidden is not None and not self.projection:
            raise ValueError(
                "hidden is the width of the projection's network; set projection: true, or leave it out"
            )
        return self

    def peft_config(self) -> peft.PrefixTuningConfig:
        """Return PEFT's `PrefixTuningConfig`."""
        import peft

        return peft.PrefixTuningConfig(
            task_type="CAUSAL_LM",
            num_virtual_tokens=self.tokens,
            prefix_projection=self.projection,
            encoder_hidden_size=self.hidden,
        )

    def attach(self, base: Base) -> Attached:
        """Put the keys and values before a base, first those of real words where they are trained themselves."""
        from shepherd.model.virtual_tokens import begin_with_words

        attached = super().attach(base)
        if self.init == "vocabulary" and not self.projection:
            begin_with_words(attached, base, self.tokens)
        return attached
