"""What happens to an update on its way to the server."""

from shepherd.strategy import one_of
from shepherd.transforms.base import Transform
from shepherd.transforms.clip import Clip

TransformChoice = one_of(Transform, Clip)

__all__ = ["Clip", "Transform", "TransformChoice"]
