"""What a dispatcher complains of."""

from types import SimpleNamespace

import pytest

from eventing.broker.wellbeing import complaint


def partition(number=0, read_at=100.0, stuck_s=0.0, trouble="the store does not answer"):
    """One that is owned."""
    return SimpleNamespace(broker="ns/b", number=number, read_at=read_at, stuck_s=stuck_s, trouble=trouble)


@pytest.mark.parametrize(("owned", "unowned", "says"), [
    ([], {}, ""),
    ([partition(read_at=95.0, stuck_s=5.0)], {("ns/b", 1): (95.0, "why")}, ""),
    ([partition(read_at=93.0)], {}, "ns/b/0: nothing read for 7 s: the store does not answer"),
    ([partition(read_at=93.0, stuck_s=9.0, trouble="NOPERM")], {}, "ns/b/0: nothing read for 7 s: NOPERM"),
    ([partition(stuck_s=9.0)], {}, "ns/b/0: events wait, and none was read for 9 s"),
    ([], {("ns/b", 1): (90.0, "another dispatcher keeps its lease")},
     "ns/b/1: not owned for 10 s: another dispatcher keeps its lease"),
    ([partition(read_at=90.0), partition(1, stuck_s=6.0)], {},
     ("ns/b/0: nothing read for 10 s: the store does not answer; "
      "ns/b/1: events wait, and none was read for 6 s")),
])
def test_complaint(owned, unowned, says):
    """Each partition that is not served, and why; nothing while all of it is younger than the bound."""
    assert complaint(owned, unowned, 100.0, 5.0) == says
