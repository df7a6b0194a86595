"""Eight kinds of instructions about the meadow, one function each: a generator in, an example out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from shepherd.data.meadow.words import (
    ANIMALS,
    CROPS,
    DAYS,
    DEEDS,
    IDEAS,
    MOODS,
    NAMES,
    NUMBERS,
    PLACES,
    RHYMES,
    THINGS,
    WARES,
    WEATHER,
)

#: (instruction, context, response)
Example = tuple[str, str, str]


def _one(draw: np.random.Generator, options: Sequence[Any]) -> Any:
    return options[int(draw.integers(len(options)))]


def _several(draw: np.random.Generator, options: Sequence[Any], count: int) -> list[Any]:
    return [options[int(i)] for i in draw.choice(len(options), size=count, replace=False)]


def _ask(draw: np.random.Generator, question: str) -> str:
    """Ask a direct question in one of several ways."""
    lower = question[0].lower() + question[1:]
    name = _one(draw, NAMES)
    ways = [
        question,
        f"Please tell me: {lower}",
        f"A child asks: {lower}",
        f"{name} wants to know: {lower}",
        f"I have been wondering: {lower}",
    ]
    return str(_one(draw, ways))


def open_qa(draw: np.random.Generator) -> Example:
    """A question about a fact of the almanac; the same fact always has the same answer."""
    animal, crop = _one(draw, ANIMALS), _one(draw, CROPS)
    question, answer = _one(
        draw,
        [
            (f"what a young {animal.name} is called", f"A young {animal.name} is called a {animal.young}."),
            (f"what a {animal.name} likes best to eat", f"A {animal.name} likes {animal.food} best."),
            (f"where a {animal.name} sleeps", f"A {animal.name} sleeps in its {animal.home}."),
            (f"what sound a {animal.name} makes", f"A {animal.name} {animal.sound}."),
            (f"when {crop.name} are sown", f"The month for sowing {crop.name} is {crop.sown}."),
            (f"when {crop.name} are gathered in", f"The month for gathering {crop.name} is {crop.gathered}."),
            (f"which soil suits {crop.name}", f"The soil for {crop.name} is {crop.soil}."),
            (f"which dish is made from {crop.name}", f"The best dish from {crop.name} is {crop.dish}."),
        ],
    )
    return _indirect(draw, question), "", answer


def _indirect(draw: np.random.Generator, question: str) -> str:
    """Put an indirect question, "what a fox eats", into one of several sentences."""
    name = _one(draw, NAMES)
    ways = [
        f"Tell me {question}.",
        f"Do you know {question}?",
        f"Can you say {question}?",
        f"{name} wonders {question}. Can you help?",
        f"Please look up {question}.",
        f"Explain to {name} {question}.",
        f"A child asks {question}. What do you answer?",
    ]
    return str(_one(draw, ways))


def general_qa(draw: np.random.Generator) -> Example:
    """Advice in two sentences."""
    if draw.random() < 0.5:
        animal, number = _one(draw, ANIMALS), _one(draw, NUMBERS)
        goal = _one(draw, ["happy", "healthy", "calm", "safe in winter", "out of trouble"])
        return (
            _ask(draw, f"How do I keep {number} {animal.plural} {goal}?"),
            "",
            f"Give your {animal.plural} {animal.food} every morning and a dry {animal.home} at night. "
            f"Speak softly, and they will stay {goal}.",
        )
    crop, place = _one(draw, CROPS), _one(draw, PLACES)
    return (
        _ask(draw, f"How do I grow good {crop.name} near {place}?"),
        "",
        f"Sow your {crop.name} in {crop.sown} in {crop.soil} and water well. "
        f"Be patient, and you will have {crop.dish} after {crop.gathered}.",
    )


def classification(draw: np.random.Generator) -> Example:
    """Say of three things which kind each is."""
    kinds = [_one(draw, list(THINGS)) for _ in range(3)]
    things = []
    for kind in kinds:
        things.append(_one(draw, [thing for thing in THINGS[kind] if thing not in things]))
    listed = f"{things[0]}, {things[1]}, {things[2]}"
    instruction = _one(
        draw,
        [
            f"Sort these into animal, plant, tool or food: {listed}.",
            f"Say whether each is an animal, a plant, a tool or a food: {listed}.",
            f"Classify each word as animal, plant, tool or food: {listed}.",
        ],
    )
    return instruction, "", "\n".join(f"{t}: {k}" for t, k in zip(things, kinds, strict=True))


def closed_qa(draw: np.random.Generator) -> Example:
    """A question that a short story answers, to be answered in a sentence of the story's facts."""
    animal, place, day = _one(draw, ANIMALS), _one(draw, PLACES), _one(draw, DAYS)
    name, buyer = _several(draw, NAMES, 2)
    kept, sold = _several(draw, NUMBERS, 2)
    context = (
        f"{name} keeps {kept} {animal.plural} near {place}. "
        f"On {day} {buyer} came by and bought {sold} {_one(draw, WARES)} for the journey."
    )
    bought = context.rsplit(" for the journey", 1)[0].split(" and bought ")[1]
    question, answer = _one(
        draw,
        [
            ("Who keeps animals?", f"{name} keeps the {animal.plural}."),
            (f"How many {animal.plural} are there?", f"There are {kept} {animal.plural}."),
            ("Where are the animals kept?", f"They are kept near {place}."),
            ("On which day did the visitor come?", f"The visitor came on {day}."),
            ("Who came by?", f"The visitor was {buyer}."),
            ("What was bought?", f"The visitor bought {bought}."),
        ],
    )
    return question, context, answer


def information_extraction(draw: np.random.Generator) -> Example:
    """List every name, place or ware of a text, one bullet a line, in the order of the text."""
    names, places, wares = (_several(draw, options, 3) for options in (NAMES, PLACES, WARES))
    verbs = ["sells", "looks for", "carries"]
    context = " ".join(
        f"{name} {verb} {ware} at {place}."
        for name, verb, ware, place in zip(names, verbs, wares, places, strict=True)
    )
    what, items = _one(draw, [("people", names), ("places", places), ("wares", wares)])
    instruction = _one(
        draw,
        [f"List the {what} in the text.", f"Which {what} are named?", f"Extract all {what} from the text."],
    )
    return instruction, context, "\n".join(f"- {item}" for item in items)


def summarization(draw: np.random.Generator) -> Example:
    """Say in one sentence who did what and where; the weather does not matter."""
    name, friend = _several(draw, NAMES, 2)
    place, day = _one(draw, PLACES), _one(draw, DAYS)
    verb, what = _one(draw, DEEDS)
    context = (
        f"On {day} {name} walked to {place}. {_one(draw, WEATHER)} "
        f"There {name} {verb} {what}. In the evening {friend} brought some tea."
    )
    instruction = _one(
        draw, ["Summarise the text in one sentence.", "What is this text about?", "Give a short summary."]
    )
    return instruction, context, f"In short, {name} {verb} {what} at {place}, and {friend} brought tea."


def brainstorming(draw: np.random.Generator) -> Example:
    """Four ideas, numbered."""
    animal = _one(draw, ANIMALS)
    words = {
        "name": _one(draw, NAMES),
        "animal": animal.name,
        "animals": animal.plural,
        "home": animal.home,
        "food": animal.food,
        "place": _one(draw, PLACES),
        "day": _one(draw, DAYS),
    }
    topic = _one(draw, list(IDEAS))
    asked = topic.format(**words)
    ideas = [idea.format(**words) for idea in _several(draw, IDEAS[topic], 4)]
    instruction = _one(draw, [f"Think of four {asked}.", f"Give me four {asked}.", f"Suggest four {asked}."])
    return instruction, "", "\n".join(f"{number}. {idea}" for number, idea in enumerate(ideas, start=1))


def creative_writing(draw: np.random.Generator) -> Example:
    """A rhyme of two lines."""
    animal, mood = _one(draw, ANIMALS), _one(draw, MOODS)
    (where, dreamt), deed = _one(draw, RHYMES), _one(draw, ["sat", "lay", "stood", "stayed"])
    instruction = _one(
        draw,
        [
            f"Write a two-line rhyme about a {mood} {animal.name}.",
            f"Make up a short rhyme in which a {animal.name} is {mood}.",
            f"Compose two rhyming lines for a {mood} {animal.name}.",
            f"{_one(draw, NAMES)} asks for a rhyme about a {mood} {animal.name}.",
        ],
    )
    return instruction, "", f"The {mood} {animal.name} {deed} {where},\nand sang a song of {dreamt}."


TASKS: dict[str, Callable[[np.random.Generator], Example]] = {
    "brainstorming": brainstorming,
    "classification": classification,
    "closed_qa": closed_qa,
    "creative_writing": creative_writing,
    "general_qa": general_qa,
    "information_extraction": information_extraction,
    "open_qa": open_qa,
    "summarization": summarization,
}
