"""People rate answers, blinded; what they said, and how far they agree with the judge and one another."""

from shepherd.people.rating import HumanRating, ratings

__all__ = ["HumanRating", "ratings"]
