"""Which processes of a Deployment come and go, and when one that ended is started again: tables."""

import pytest

from serving.deployments import rollout
from serving.deployments.rollout import Plan, Seen, Strategy

NEW, NEW_WAITING = Seen(is_new=True, is_ready=True), Seen(is_new=True, is_ready=False)
OLD, OLD_WAITING = Seen(is_new=False, is_ready=True), Seen(is_new=False, is_ready=False)
OLD_STOPPING = Seen(is_new=False, is_ready=False, is_stopping=True)
ROLLING = Strategy(recreate=False, surge=1, unavailable=0)
RECREATE = Strategy(recreate=True, surge=1, unavailable=0)


@pytest.mark.parametrize(("seen", "wanted", "how", "start", "stop"), [
    pytest.param([], 2, ROLLING, 2, [], id="the first ones start at once"),
    pytest.param([], 2**31, ROLLING, 50, [], id="and not more of them than a machine can start at once"),
    pytest.param([NEW, *[NEW_WAITING] * 49], 2**31, ROLLING, 1, [], id="the next ones once these are ready"),
    pytest.param([OLD_STOPPING, *[NEW_WAITING] * 50], 2**31, ROLLING, 0, [], id="which some never are"),
    pytest.param([NEW_WAITING], 2**31, RECREATE, 49, [], id="recreate: as many at once"),
    pytest.param([NEW, NEW], 2, ROLLING, 0, [], id="all is well"),
    pytest.param([OLD], 1, ROLLING, 1, [], id="a new one beside the old one"),
    pytest.param([OLD, NEW_WAITING], 1, ROLLING, 0, [], id="the old one stays until the new one is ready"),
    pytest.param([OLD, NEW], 1, ROLLING, 0, [0], id="then it goes"),
    pytest.param([OLD_WAITING], 1, ROLLING, 1, [0], id="an old one that does not run goes at once"),
    pytest.param([OLD, OLD, NEW], 2, ROLLING, 0, [0], id="one after the other"),
    pytest.param([OLD_STOPPING, NEW], 1, ROLLING, 0, [], id="one that is stopping is not waited for"),
    pytest.param([NEW, NEW_WAITING, NEW], 1, ROLLING, 0, [1, 2], id="fewer: first those that do not run"),
    pytest.param([NEW, OLD], 0, ROLLING, 0, [0, 1], id="none"),
    pytest.param([OLD, OLD], 2, RECREATE, 0, [0, 1], id="recreate: the old ones go"),
    pytest.param([OLD_STOPPING], 1, RECREATE, 0, [], id="recreate: and are waited for"),
    pytest.param([], 1, RECREATE, 1, [], id="recreate: before the new ones come"),
])
def test_plan(seen, wanted, how, start, stop):
    """The next step is the one that Kubernetes would take."""
    assert rollout.plan(seen, wanted, how) == Plan(start, stop)


@pytest.mark.parametrize(("spec", "replicas", "expected"), [
    (None, 1, Strategy(recreate=False, surge=1, unavailable=0)),
    (None, 10, Strategy(recreate=False, surge=3, unavailable=2)),
    ({"type": "Recreate"}, 1, Strategy(recreate=True, surge=1, unavailable=0)),
    ({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "50%"}}, 4,
     Strategy(recreate=False, surge=0, unavailable=2)),
    ({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "10%"}}, 1,
     Strategy(recreate=False, surge=0, unavailable=1)),
])
def test_strategy(spec, replicas, expected):
    """Shares are rounded as Kubernetes rounds them, and never so that nothing can move."""
    assert rollout.strategy(spec, replicas) == expected


def test_back_off():
    """1 s, 2 s, 4 s and so on up to 5 minutes; from the beginning after 10 minutes of running."""
    waits = [0.0]
    for _ in range(11):
        waits.append(rollout.wait_s(waits[-1], ran_s=3))

    assert waits[1:] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert rollout.wait_s(300, ran_s=600) == 1
    assert [rollout.proof_s(waited_s) for waited_s in (0, 4, 300)] == [0, 4, 10]
