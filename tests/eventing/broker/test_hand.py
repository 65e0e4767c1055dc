"""What an owner has in hand, as it is told and read."""

import pytest

from eventing.broker.hand import Hand, hand_of


@pytest.mark.parametrize(("told", "found"), [
    (b"3 1.5 2 0.5", Hand(3, 1.5, 2, 0.5)), (b"0  0 ", Hand()),
    (b"3 1.5 2 0.5 more of it", Hand(3, 1.5, 2, 0.5)),
])
def test_what_was_told(told, found):
    """Each figure, or that there is none; what a later version tells besides is no obstacle."""
    assert hand_of({b"mine": told}, "mine") == found
    assert hand_of({b"other": told}, "mine") == Hand()
