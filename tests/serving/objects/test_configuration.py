"""A Configuration by itself, without a Service."""

import pytest

GROUP = "serving.knative.dev"


async def test_makes_revisions(cluster, configuration, healthy):
    """Every change of the template makes a Revision; the newest ready one is the latest ready."""
    await cluster.apply(configuration())
    await healthy("c-00001")
    await cluster.until_condition(f"Configuration.{GROUP}", "c", "Ready", status="True")
    events = cluster.plane.store.list(_events(cluster))
    assert {event["reason"] for event in events} >= {"Created", "ConfigurationReady", "LatestReadyUpdate"}

    await cluster.apply(configuration("2"))
    await cluster.until(lambda: cluster.get(f"Revision.{GROUP}", "c-00002"))
    await cluster.apply(configuration("3"))
    await healthy("c-00003")
    await cluster.until_condition(f"Configuration.{GROUP}", "c", "Ready", status="True")
    await healthy("c-00002")  # an older one that becomes ready late takes nothing back
    status = cluster.get(f"Configuration.{GROUP}", "c")["status"]
    assert status["latestReadyRevisionName"] == "c-00003"
    assert status["latestCreatedRevisionName"] == "c-00003"


async def test_events_of_failures(cluster, configuration, report, healthy):
    """A revision that fails is an Event of its Configuration: one that never was ready, and one that was."""
    def told():
        return {(each["reason"], each["message"]) for each in cluster.plane.store.list(_events(cluster))
                if each["reason"].endswith("Failed")}

    await cluster.apply(configuration())
    await report("c-00001", healthy=False, reason="ExitCode1", message="no")
    created = ("LatestCreatedFailed", 'Latest created revision "c-00001" has failed')
    await cluster.until(lambda: told() == {created})
    await healthy("c-00001")
    await cluster.until_condition(f"Configuration.{GROUP}", "c", "Ready", status="True")
    await report("c-00001", healthy=False, reason="ExitCode2", message="no more")
    ready = ("LatestReadyFailed", 'Latest ready revision "c-00001" has failed')
    await cluster.until(lambda: told() == {created, ready})


def _events(cluster):
    return next(kind for kind in cluster.plane.reconciler._kinds.values() if kind.kind == "Event")


async def test_collects_old_revisions(cluster, configuration, healthy):
    """Revisions that nobody routes to go as config-gc says; the latest ready one stays."""
    await cluster.apply(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: config-gc, namespace: knative-serving}, data: "
        "{min-non-active-revisions: '0', max-non-active-revisions: '0'}}"
    )
    await cluster.apply(configuration())
    await healthy("c-00001")
    await cluster.apply(configuration("2"))
    await healthy("c-00002")
    await cluster.until_condition(f"Configuration.{GROUP}", "c", "Ready", status="True")
    old = cluster.get(f"Revision.{GROUP}", "c-00001")
    old["metadata"].pop("resourceVersion")
    old["metadata"]["labels"][f"{GROUP}/routingState"] = "reserve"
    await cluster.plane.objects.update(old)

    await cluster.until(lambda: cluster.get(f"Revision.{GROUP}", "c-00001") is None)
    assert cluster.get(f"Revision.{GROUP}", "c-00002")


async def test_a_name_that_is_free_again(cluster, configuration):
    """While its Revision's name is another's the Configuration says so; it has it once that one is gone."""
    own = configuration().replace("template:", "template:\n    metadata: {name: c-one}")
    spec = "containers: [{image: x, command: [serve]}]"
    await cluster.apply(
        f"{{apiVersion: {GROUP}/v1, kind: Revision, metadata: {{name: c-one}}, spec: {{{spec}}}}}")
    await cluster.apply(own)
    found = await cluster.until_condition(f"Configuration.{GROUP}", "c", "Ready", status="False")
    assert 'revisions.serving.knative.dev "c-one" already exists' in found["message"]

    await cluster.delete(f"Revision.{GROUP}", "c-one")
    await cluster.until_condition(f"Configuration.{GROUP}", "c", "Ready", status="Unknown")
    owners = cluster.get(f"Revision.{GROUP}", "c-one")["metadata"]["ownerReferences"]
    assert [each["name"] for each in owners] == ["c"]


@pytest.mark.parametrize(("said", "told"), [
    ("does it listen on $PORT?", "does it listen on $PORT?"),
    ("it is gone.", "it is gone."),
    ("it is gone", "it is gone."),
])
async def test_message_has_one_end(cluster, configuration, report, said, told):
    """A Revision's message that ends as a sentence does gets no second mark."""
    await cluster.apply(configuration())
    await report("c-00001", healthy=False, reason="ProgressDeadlineExceeded", message=said)

    found = await cluster.until_condition(f"Configuration.{GROUP}", "c", "Ready", status="False")

    assert found["message"] == f'Revision "c-00001" failed with message: {told}'
