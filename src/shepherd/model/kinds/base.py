"""What every kind of adapter is."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from shepherd.strategy import Strategy

if TYPE_CHECKING:  # PEFT and torch take seconds, and whoever reads a config needs neither
    import peft

    from shepherd.model.attached import Attached
    from shepherd.model.base import Base


class AdapterKind(Strategy):
    """A way to adapt a base model by training few tensors of it, or beside it.

    Attributes
    ----------
    factored : bool
        Whether it is ``W0 + s B A`` and nothing more, as aggregations that work on the product B A need it.
    starts_at_base : bool
        Whether the base answers as ever with it until it is trained.
    """

    factored: ClassVar[bool] = False
    starts_at_base: ClassVar[bool] = True

    def peft_config(self) -> peft.PeftConfig:
        """Return the configuration PEFT attaches the adapter with."""
        raise NotImplementedError

    def attach(self, base: Base) -> Attached:
        """Put the adapter into a base model, which is changed in place; what is random comes from torch's generator.

        Raises
        ------
        ShepherdError
            If it does not fit the base.
        """
        from shepherd.model.attached import attach_peft

        return attach_peft(base, self.peft_config())
