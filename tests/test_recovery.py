"""Events that were accepted before their function could take them are delivered once it can."""

import json

from tests.objects import BROKER

TRIGGER = """
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: late}
spec:
  broker: default
  subscriber: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: late}}
"""

SERVICE = """
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: late}
spec: {template: {spec: {containers: [{image: "func://./late"}]}}}
"""


def test_function_that_is_mended(instance, tmp_path, until):
    """Events wait while there is no function, and while it does not import; a mended one gets them all.

    The revision that did not import is not tried again.
    """
    (tmp_path / "late").mkdir()
    for name, text in (("trigger", BROKER + "---" + TRIGGER), ("service", SERVICE)):
        (tmp_path / f"{name}.yaml").write_text(text)
    function = tmp_path / "late" / "func.py"

    instance.run("apply", "-f", str(tmp_path / "trigger.yaml"), "--timeout", "1s")
    assert instance.publish("before", "any", {}) == 202

    function.write_text("import no_such_module")
    failed = instance.run("apply", "-f", str(tmp_path / "service.yaml"))
    assert failed.returncode == 1
    assert "No module named 'no_such_module'" in failed.stderr
    assert instance.publish("broken", "any", {}) == 202

    function.write_text("def handle(event):\n    print('got', event.get_id())\n")
    instance.clarion("apply", "-f", str(tmp_path / "service.yaml"))
    for id_ in ("before", "broken"):
        until(lambda id_=id_: f"got {id_}" in instance.clarion("logs", "late"), what=f"event {id_}")

    old = until(lambda: revision(instance, "late-00001", desired=0), what="end of trying the broken one")
    assert "no_such_module" in str(old["status"]["conditions"])


def revision(instance, name, *, desired):
    """The Revision, if so many replicas are desired of it."""
    found = json.loads(instance.clarion("get", "revision", name, "-o", "json"))
    return found if found["status"].get("desiredReplicas", 0) == desired else None
