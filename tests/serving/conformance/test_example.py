"""examples/services, as a reader applies it."""

from pathlib import Path

import pytest

from tests.serving.conformance.conftest import Data

EXAMPLE = Path(__file__).parents[3] / "examples" / "services"


@pytest.fixture(scope="module")
def started(instances):
    """A `clarion up` with the example applied."""
    made = instances("-f", str(EXAMPLE))
    made.start()
    yield made
    made.stop()


@pytest.mark.parametrize("host", [
    "world.default.localhost", "latest-world.default.localhost", "world.localhost"])
def test_hosts(started, host):
    """A YAML made for a cluster is served here, at its host, its tag's and its domain."""
    assert Data(started).ask(host) == (200, "Hello World!\n")


def test_a_rollout_begins(started, until):
    """A new revision gets part of the requests first, and the Service says that it is on its way."""
    text = (EXAMPLE / "services.yaml").read_text().replace("30s ", "1h ").replace(
        "world-one}", "world-two}").replace('"World"', '"Moon"')
    text = text.replace("func://./world", f"func://{EXAMPLE}/world")
    assert started.run("apply", "-f", "-", "--no-wait", stdin=text).returncode == 0

    until(lambda: "RolloutInProgress" in started.clarion("get", "services"), what="rollout")
    answers = {Data(started).ask("world.default.localhost")[1] for _ in range(100)}
    assert answers == {"Hello World!\n", "Hello Moon!\n"}
