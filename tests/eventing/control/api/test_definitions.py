"""CustomResourceDefinitions: `kn source list-types` finds in them which kinds are sources."""

from sources import kafka

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


async def test_sources_are_labelled(api):
    """A selector of Knative's label finds sources alone, each with the version to ask for."""
    _, listed, _ = await api("GET", f"{DEFINITIONS}?labelSelector=duck.knative.dev%2Fsource%3Dtrue")
    assert listed["kind"] == "CustomResourceDefinitionList"
    [found] = [one for one in listed["items"] if one["metadata"]["name"] == kafka.KIND.resource_name]
    assert (found["spec"]["group"], found["spec"]["names"]["kind"]) == ("sources.knative.dev", "KafkaSource")
    assert found["spec"]["versions"] == [{"name": "v1", "served": True, "storage": True},
                                         {"name": "v1beta1", "served": True, "storage": False}]
    assert "toys.toys.knative.dev" not in [one["metadata"]["name"] for one in listed["items"]]


async def test_each_kind_has_one(api):
    """One is found by its name; Kubernetes' own kinds have none, and none can be made."""
    _, toys, _ = await api("GET", f"{DEFINITIONS}/toys.toys.knative.dev")
    assert (toys["spec"]["scope"], toys["spec"]["names"]["shortNames"]) == ("Namespaced", ["ty"])
    for name in ("configmaps", "herds.farm", "toys.toys.knative.dev/status"):
        assert (await api("GET", f"{DEFINITIONS}/{name}"))[0] == 404
    assert (await api("POST", DEFINITIONS, {"metadata": {"name": "x"}}))[0] == 404
