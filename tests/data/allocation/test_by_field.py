import logging

import pytest

from shepherd.data.allocation import ByField
from shepherd.errors import ShepherdError


def test_one_client_per_value_in_order_of_first_appearance(build):
    allocated = ByField().allocate(build(list("cacba")), 0)
    assert allocated.names == ["c", "a", "b"]
    assert [list(rows) for rows in allocated.rows] == [[0, 2], [1, 4], [3]]


def test_any_column_can_be_the_field(build):
    allocated = ByField(field="user").allocate(build(list("aab"), user=[7, 8, 7]), 0)
    assert allocated.names == ["7", "8"]


def test_small_clients_are_left_out_and_counted(build, caplog):
    with caplog.at_level(logging.WARNING):
        allocated = ByField(min_examples=2).allocate(build(list("aabccd")), 0)
    assert allocated.names == ["a", "c"]
    assert "left out 2 of 4 clients by 'category' (2 examples)" in caplog.text


def test_nothing_left_is_refused(build):
    with pytest.raises(ShepherdError, match=r"None of the 2 clients .* \(the largest holds 3\)"):
        ByField(min_examples=4).allocate(build(list("aabba")), 0)


def test_an_unknown_field_is_refused(build):
    with pytest.raises(ShepherdError, match="categori"):
        ByField(field="categori").allocate(build(list("aab")), 0)


@pytest.mark.parametrize(
    "values", [["u", None, "v"], ["u", "", "v"], [1.0, float("nan"), 2.0], [["u"], [], []]]
)
def test_a_row_without_a_value_is_refused(build, values):
    with pytest.raises(ShepherdError, match=r"Row \d of made-up.jsonl .* names no client"):
        ByField(field="user").allocate(build(list("aab"), user=values), 0)
