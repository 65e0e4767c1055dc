"""From a container to the numbers that its worker is limited by."""

import pytest

from serving.objects import workload


@pytest.mark.parametrize(("limits", "memory_bytes", "cpu"), [
    ({}, None, None),
    ({"memory": "64Mi", "cpu": "250m"}, 64 << 20, 0.25),
    ({"memory": "0", "cpu": 0}, None, None),
])
def test_limits(limits, memory_bytes, cpu):
    """What is limited; a limit of nothing is none, as it is for a container's runtime."""
    container = {"resources": {"limits": limits}}
    assert (workload.memory_bytes(container), workload.cpu(container)) == (memory_bytes, cpu)
