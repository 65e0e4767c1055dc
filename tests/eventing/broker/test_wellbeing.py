"""What a dispatcher complains of."""

import pytest

from eventing.broker.wellbeing import Reading, complaint


def partition(number=0, heard_at=100.0, stuck_s=0.0, trouble="", *, has_room=True):
    """One that is owned."""
    return Reading(f"ns/b/{number}", heard_at, trouble, has_room, stuck_s)


@pytest.mark.parametrize(("owned", "unowned", "says"), [
    ([], {}, ""),
    ([partition(heard_at=95.0, stuck_s=5.0)], {("ns/b", 1): (95.0, "why")}, ""),
    ([partition(heard_at=93.0)], {}, "ns/b/0: nothing read for 7 s: the store does not answer"),
    ([partition(heard_at=93.0, stuck_s=9.0, trouble="NOPERM")], {}, "ns/b/0: nothing read for 7 s: NOPERM"),
    ([partition(heard_at=93.0, has_room=False)], {},
     "ns/b/0: nothing read for 7 s: what was read cannot be committed"),
    ([partition(stuck_s=9.0)], {}, "ns/b/0: events wait, and none was read for 9 s"),
    ([], {("ns/b", 1): (90.0, "another dispatcher keeps its lease")},
     "ns/b/1: not owned for 10 s: another dispatcher keeps its lease"),
    ([partition(heard_at=90.0), partition(1, stuck_s=6.0)], {},
     ("ns/b/0: nothing read for 10 s: the store does not answer; "
      "ns/b/1: events wait, and none was read for 6 s")),
])
def test_complaint(owned, unowned, says):
    """Each partition that is not served, and why; nothing while all of it is younger than the bound."""
    assert complaint(owned, unowned, 100.0, 5.0) == says
