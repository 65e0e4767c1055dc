"""What the control role says of what it was given, and what functions print, through a real instance."""

import urllib.error
import urllib.request

import pytest

BROKEN = """
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: broken}
spec: {template: {spec: {containers: [{image: "func://./broken"}]}}}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: nameless}
spec: {}
"""


@pytest.fixture(scope="module")
def instance(instances, tmp_path_factory):
    """An instance that was given a function that cannot be imported, and a Trigger that is refused."""
    folder = tmp_path_factory.mktemp("given")
    (folder / "broken").mkdir()
    (folder / "broken" / "func.py").write_text("print('about to fail')\nimport nothing_called_so\n")
    (folder / "objects.yaml").write_text(BROKEN)
    made = instances("-f", str(folder))
    made.begin()
    yield made
    made.stop()


def test_readyz_names_what_is_missing(instance, until):
    """503 with a line for each object that is not Ready and why, until it is."""
    until(instance.state_file.exists, what="the ports")
    until(lambda: "service/broken: RevisionFailed" in instance.get("/readyz")[1], what="the failed revision")

    status, text = instance.get("/readyz")

    lines = dict(line.split(": ", 1) for line in text.splitlines())
    assert status == 503
    assert "nothing_called_so" in lines["service/broken"]
    assert lines["trigger/nameless"].startswith("refused: ")
    assert "objects.yaml:7:1" in lines["trigger/nameless"]


def test_traceback_is_shown(instance, until):
    """Of a function that does not import, `describe` and `logs` show the traceback, and what it printed."""
    for command in (("describe", "service", "broken"), ("logs", "broken")):
        until(lambda command=command: "ModuleNotFoundError" in instance.clarion(*command), what="traceback")

    assert "about to fail" in instance.clarion("logs", "broken")


def test_a_bundle_that_is_not_what_it_says(instance):
    """PUT under another name than its digest's is refused with the digest."""
    url = f"{instance.control_url}/bundles/sha256:{'0' * 64}"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(url, b"junk", method="PUT"), timeout=10)

    assert caught.value.code == 400
    assert b"SHA-256" in caught.value.read()
    caught.value.close()
