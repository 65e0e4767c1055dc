"""`run.envs` of a func.yaml, where no Secret can be looked up."""

import pytest

from eventing.errors import UsageError
from serving.functions import envs, funcyaml


def test_variables():
    """A local run has literals and its own environment; Secrets it is told to set, or to leave out."""
    function = funcyaml.read(
        {"run": {"envs": [{"name": "A", "value": "1"}, {"name": "B", "value": "{{ secret:s:b }}"}]}},
        place="price/func.yaml", folder="price", is_instanced=False)

    with pytest.raises(UsageError, match=r"B comes from a Secret .* --env NAME=VALUE"):
        envs.variables(function, {}, ())
    assert envs.variables(function, {}, {"B"}) == {"A": "1"}
