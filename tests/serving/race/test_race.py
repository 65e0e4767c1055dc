"""A short race, from zero to zero; `python -m tests.serving.race` is the long one."""

import pytest

from tests.serving.race.race import Race

SEED = 7


@pytest.fixture
def raced(instances):
    """An instance that runs."""
    made = instances()
    made.start()
    yield made
    made.stop()


async def test_nothing_is_dropped(raced, tmp_path):
    """Workers come, go, roll out and are killed: every request is answered, every event is handled."""
    tally = await Race(raced, 9, SEED, rollouts=1).run(tmp_path, calm=3, victims=1)

    assert not tally.problems, str(tally)
    assert tally.answers.total() > 20
    assert tally.sent
