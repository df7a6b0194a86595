from __future__ import annotations

import json
import re

import pytest
from rated_study import MODELS, answer

from shepherd.errors import ShepherdError
from shepherd.people.items import Material, draw, is_current
from shepherd.people.keys import read_keys, write_key
from shepherd.study.directory import Study


def test_every_model_is_shown_beside_the_reference_on_every_question(study: Study) -> None:
    items = draw(Material(study), (*MODELS, "federated"), "chatgpt").items
    assert sorted((i.question, i.model) for i in items) == [
        (f"q{n}", m) for n in range(6) for m in MODELS[:2]
    ]
    assert {i.reference for i in items} == {"chatgpt"}
    assert all(set(i.labels) == {i.model, "chatgpt"} for i in items)
    assert len({i.id for i in items}) == 12
    assert all(re.fullmatch("[b-df-hj-np-tv-z]{10}", i.id) for i in items)


def test_answers_by_themselves(study: Study) -> None:
    items = draw(Material(study), MODELS).items
    assert len(items) == 18
    assert {i.labels for i in items} == {(label,) for label in MODELS}


def test_the_order_and_the_sides_are_the_raters_own_and_are_repeated(study: Study) -> None:
    material = Material(study)
    anna, again, ben = (
        draw(material, MODELS, "chatgpt", rater=name).items for name in ("anna", "anna", "ben")
    )
    assert anna == again
    assert [(i.question, i.model) for i in anna] != [(i.question, i.model) for i in ben]
    assert {i.swapped for i in anna} == {True, False}
    sides = [{(i.question, i.model): i.swapped for i in items} for items in (anna, ben)]
    assert sides[0] != sides[1]
    assert not {i.id for i in anna} & {i.id for i in ben}


def test_an_item_stays_the_same_when_more_is_asked(study: Study) -> None:
    material = Material(study)
    few = draw(material, MODELS[:1], "chatgpt", count=2).items
    more = draw(material, MODELS, "chatgpt", count=4).items
    assert len(few) == 2
    assert len(more) == 8
    assert set(few) < set(more)


def test_everybody_gets_the_same_questions(study: Study) -> None:
    drawn = [draw(Material(study), MODELS, "", 3, rater=name).items for name in ("anna", "ben")]
    anna, ben = ({i.question for i in items} for items in drawn)
    assert anna == ben
    assert len(anna) == 3


def test_questions_that_not_all_have_answered_are_left_out_and_counted(study: Study) -> None:
    answer(study, "federated", {"q0": "one", "q5": "two"})
    found = draw(Material(study), MODELS, "chatgpt")
    assert {i.question for i in found.items} == {"q0", "q5"}
    assert found.unanswered == 4


def test_an_item_is_of_the_answers_it_was_drawn_from(study: Study) -> None:
    item = next(i for i in draw(Material(study), MODELS, "chatgpt").items if i.model == "federated")
    assert is_current(item, Material(study))
    answer(study, "federated", {f"q{n}": "another answer" for n in range(6)})
    assert not is_current(item, Material(study))
    again = draw(Material(study), MODELS, "chatgpt").items
    assert item.id not in {i.id for i in again}


def test_nothing_to_rate_is_refused(study: Study) -> None:
    with pytest.raises(ShepherdError, match="nothing to rate beside 'chatgpt'"):
        draw(Material(study), ["chatgpt"], "chatgpt")
    with pytest.raises(ShepherdError, match="no model has answered"):
        draw(Material(study), [])
    answer(study, "federated", {})
    with pytest.raises(ShepherdError, match="No question has answers of all of federated, chatgpt"):
        draw(Material(study), ["federated"], "chatgpt")
    with pytest.raises(ShepherdError, match="There are 6 questions, not 7"):
        draw(Material(study), ["chatgpt"], count=7)


def test_keys_add_up_and_a_damaged_one_is_named(study: Study) -> None:
    material = Material(study)
    anna, ben = (draw(material, MODELS, "chatgpt", rater=name).items for name in ("anna", "ben"))
    path = write_key(study, anna)
    assert write_key(study, anna) == path
    write_key(study, ben)
    assert read_keys(study) == {item.id: item for item in (*anna, *ben)}
    for damage in ("", "[]", json.dumps({"items": [{"id": "x"}]})):
        path.write_text(damage)
        with pytest.raises(ShepherdError, match=path.name):
            read_keys(study)
