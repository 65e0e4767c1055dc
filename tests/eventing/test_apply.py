"""From two versions of a document to a patch."""

import pytest

from eventing import apply


@pytest.mark.parametrize(("before", "wanted", "live", "patch"), [
    pytest.param({}, {"a": 1}, {"a": 1, "z": 9}, {}, id="nothing to do, and what others set is not ours"),
    pytest.param({"a": 1}, {"a": 2}, {"a": 1}, {"a": 2}, id="changed"),
    pytest.param({"a": 1}, {}, {"a": 1, "b": 2}, {"a": None}, id="removed from the file"),
    pytest.param({"a": 1}, {}, {"b": 2}, {}, id="removed from the file, and gone already"),
    pytest.param({}, {"a": {"b": 1}}, {"a": {"c": 2}}, {"a": {"b": 1}}, id="merged"),
    pytest.param({"a": {"b": 1, "c": 2}}, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}}, {"a": {"b": None}},
                 id="removed below"),
    pytest.param({}, {"a": [1, 2]}, {"a": [1]}, {"a": [1, 2]}, id="a list is replaced"),
    pytest.param({}, {"a": None}, {}, {}, id="null where nothing is"),
    pytest.param({"a": {"b": 1}}, {"a": 5}, {"a": {"b": 1}}, {"a": 5}, id="a mapping becomes a number"),
])
def test_three_way(before, wanted, live, patch):
    """The patch does what the file's change asks, and nothing else."""
    assert apply.three_way(before, wanted, live) == patch
