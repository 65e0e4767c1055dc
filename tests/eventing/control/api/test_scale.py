"""What `kubectl scale`, `rollout restart` and `set env` send for one of Kubernetes' own kinds."""

import pytest

HERDS = "/apis/farm/v1/namespaces/default/herds"
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"


@pytest.fixture
async def herd(api):
    """A stored Herd of one, with a pod's template."""
    _, made, _ = await api("POST", HERDS, {"metadata": {"name": "cows"}, "spec": {
        "replicas": 1, "selector": {"matchLabels": {"app": "cows"}},
        "template": {"spec": {"containers": [{"name": "c", "image": "x"}]}}}})
    return made


async def test_scale(api, herd):
    """Replicas are read, replaced and patched there, and nothing else changes."""
    _, found, _ = await api("GET", f"{HERDS}/cows/scale")
    assert (found["kind"], found["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert (found["spec"], found["status"]) == ({"replicas": 1}, {"replicas": 0, "selector": "app=cows"})
    _, patched, _ = await api("PATCH", f"{HERDS}/cows/scale", {"spec": {"replicas": 3}}, content_type=MERGE)
    assert patched["spec"] == {"replicas": 3}
    found["metadata"]["resourceVersion"] = patched["metadata"]["resourceVersion"]
    found["spec"]["replicas"] = 2
    assert (await api("PUT", f"{HERDS}/cows/scale", found))[1]["spec"] == {"replicas": 2}
    _, now, _ = await api("GET", f"{HERDS}/cows")
    assert now["spec"] == {**herd["spec"], "replicas": 2}
    assert now["metadata"]["generation"] == 3


async def test_what_is_not_scaled(api, herd):
    """A stale version, what is no Scale, another verb, and a kind without replicas are refused."""
    stale = {"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 2}}
    assert (await api("PUT", f"{HERDS}/cows/scale", stale))[0] == 409
    for wrong in ([], {"spec": 3}, {"spec": {"replicas": "many"}}, {"spec": {"replicas": True}}):
        assert (await api("PUT", f"{HERDS}/cows/scale", wrong))[0] == 400, wrong
    assert (await api("DELETE", f"{HERDS}/cows/scale"))[0] == 405
    assert (await api("GET", "/apis/toys.knative.dev/v1/namespaces/default/toys/bear/scale"))[0] == 404
    assert (await api("GET", f"{HERDS}/cows"))[1]["spec"] == herd["spec"]


async def test_strategic_patch(api, herd):
    """`kubectl rollout restart` and `set env`: containers are found by name, and keep what is not said."""
    env, restarted = [{"name": "A", "value": "1"}], {"kubectl.kubernetes.io/restartedAt": "now"}
    said = {"metadata": {"annotations": restarted}, "spec": {"containers": [{"name": "c", "env": env}]}}
    status, changed, _ = await api("PATCH", f"{HERDS}/cows", {"spec": {"template": said}},
                                   content_type=STRATEGIC)
    assert status == 200
    template = changed["spec"]["template"]
    assert template["spec"]["containers"] == [{"name": "c", "image": "x", "env": env}]
    assert template["metadata"]["annotations"] == restarted


async def test_discovery(api):
    """Both forms of discovery tell kubectl what answers there, and of which kind."""
    aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    _, found, _ = await api("GET", "/apis", accept=aggregated)
    [farm] = [group for group in found["items"] if group["metadata"]["name"] == "farm"]
    [status, scale] = farm["versions"][0]["resources"][0]["subresources"]
    assert (status["subresource"], scale["subresource"]) == ("status", "scale")
    assert scale["responseKind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    _, listed, _ = await api("GET", "/apis/farm/v1")
    assert [one["name"] for one in listed["resources"]] == ["herds", "herds/status", "herds/scale"]
    assert listed["resources"][2]["kind"] == "Scale"
