"""A Configuration to route to, and the serving role's part: saying how its Revisions are."""

import pytest

from eventing.control import resource

GROUP = "serving.knative.dev"
DIGEST = "ab" * 32


@pytest.fixture
def configuration():
    """`configuration(env="1")`: Configuration c, as YAML; another *env* is another template."""

    def text(env="1", namespace="default"):
        return f"""
apiVersion: {GROUP}/v1
kind: Configuration
metadata: {{name: c, namespace: {namespace}}}
spec:
  template:
    spec:
      containers: [{{image: 'func://c@sha256:{DIGEST}', env: [{{name: V, value: '{env}'}}]}}]
"""

    return text


@pytest.fixture
def report(cluster):
    """`report(revision, ...)`: says of a Revision, once it is there, what the serving role does: all well."""

    async def say(name, *, namespace="default", healthy=True, reason="", message=""):
        found = await cluster.until(lambda: cluster.get(f"Revision.{GROUP}", name, namespace))
        await cluster.report("scales", f"{namespace}/{name}", {
            "uid": resource.uid(found), "healthy": healthy, "reason": reason, "message": message,
            "desired": 1, "actual": 1 if healthy else 0, "active": "True" if healthy else "Unknown",
            "active_reason": "", "active_message": "", "initialized": healthy})

    return say


@pytest.fixture
def healthy(cluster, report):
    """`healthy(revision)`: reports that a Revision is well; returns when it is Ready."""

    async def say(name, namespace="default"):
        await report(name, namespace=namespace)
        await cluster.until_condition(f"Revision.{GROUP}", name, "Ready", status="True", namespace=namespace)

    return say
