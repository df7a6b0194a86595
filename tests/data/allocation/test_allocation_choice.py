import pytest
from pydantic import TypeAdapter, ValidationError

from shepherd.data.allocation import AllocationChoice, ByField, ClientFiles, Dirichlet, Iid, Shards

CHOICE = TypeAdapter(AllocationChoice)


@pytest.mark.parametrize(
    ("value", "built"),
    [
        ("shards", Shards()),
        ({"clients": 3}, Shards(clients=3)),
        ({"name": "dirichlet", "clients": 100, "alpha": 1}, Dirichlet(clients=100, alpha=1.0)),
        ({"name": "iid", "clients": "4"}, Iid(clients=4)),
        ({"name": "by_field", "field": "user"}, ByField(field="user")),
        ({"name": "files", "path": "data/10"}, ClientFiles(path="data/10")),
    ],
)
def test_a_config_value_is_the_scheme(value, built):
    assert CHOICE.validate_python(value) == built
    assert CHOICE.validate_python(CHOICE.dump_python(built)) == built


@pytest.mark.parametrize(
    "value", ["shard", {"name": "shards", "client": 3}, {"name": "files"}, {"clients": 0}]
)
def test_a_wrong_config_value_is_refused(value):
    with pytest.raises(ValidationError):
        CHOICE.validate_python(value)
