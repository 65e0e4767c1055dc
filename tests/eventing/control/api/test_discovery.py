"""What kubectl asks first: versions, groups, resources, schemas."""

import asyncio
import http.client

import pytest

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


async def test_aggregated_discovery(api):
    """Both halves of the list, with short names, categories and the status subresource."""
    _, core, headers = await api("GET", "/api", accept=AGGREGATED + ",application/json")
    assert headers["content-type"] == AGGREGATED
    assert "name" not in core["items"][0]["metadata"]
    assert {"namespaces", "configmaps", "secrets", "events"} <= {
        one["resource"] for one in core["items"][0]["versions"][0]["resources"]}
    _, rest, _ = await api("GET", "/apis", accept=AGGREGATED)
    [toys] = [group for group in rest["items"] if group["metadata"]["name"] == "toys.knative.dev"]
    [toy] = [one for one in toys["versions"][0]["resources"] if one["resource"] == "toys"]
    assert toy == {
        "resource": "toys", "responseKind": {"group": "toys.knative.dev", "version": "v1", "kind": "Toy"},
        "scope": "Namespaced", "singularResource": "toy", "shortNames": ["ty"], "categories": ["all"],
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        "subresources": [{"subresource": "status", "verbs": ["get", "patch", "update"],
                          "responseKind": {"group": "toys.knative.dev", "version": "v1", "kind": "Toy"}}]}


async def test_legacy_discovery(api):
    """A client that offers only an older aggregated version, or none, gets the legacy documents."""
    for accept in ("application/json", AGGREGATED.replace("v2;", "v2beta1;")):
        _, groups, _ = await api("GET", "/apis", accept=accept)
        assert groups["kind"] == "APIGroupList"
        assert "toys.knative.dev" in [group["name"] for group in groups["groups"]]
    assert (await api("GET", "/api"))[1]["versions"] == ["v1"]
    assert (await api("GET", "/apis/toys.knative.dev"))[1]["preferredVersion"]["version"] == "v1"
    _, listed, _ = await api("GET", "/apis/toys.knative.dev/v1")
    assert [one["name"] for one in listed["resources"]] == ["blocks", "blocks/status", "toys", "toys/status"]
    assert (await api("GET", "/api/v1"))[1]["groupVersion"] == "v1"
    assert (await api("GET", "/apis/none.dev/v1"))[0] == 404


async def test_version_and_openapi(api):
    """Enough of OpenAPI for `kubectl apply`: a PATCH of the kind that takes fieldValidation."""
    assert (await api("GET", "/version"))[1]["gitVersion"].startswith("v1.")
    _, index, _ = await api("GET", "/openapi/v3")
    url = index["paths"]["apis/toys.knative.dev/v1"]["serverRelativeURL"]
    _, document, _ = await api("GET", url)
    patch = document["paths"]["/apis/toys.knative.dev/v1/namespaces/{namespace}/toys/{name}"]["patch"]
    gvk = {"group": "toys.knative.dev", "version": "v1", "kind": "Toy"}
    assert patch["x-kubernetes-group-version-kind"] == gvk
    assert [parameter["name"] for parameter in patch["parameters"]] == ["fieldValidation"]
    assert "dev.knative.toys.v1.Toy" in document["components"]["schemas"]
    assert (await api("GET", "/openapi/v3/apis/none.dev/v1"))[0] == 404


async def test_what_a_list_is_judged_by(api):
    """`kubectl apply` of a List asks for OpenAPI v2: it gets one without definitions, in protobuf."""
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=10)
    wanted = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    await asyncio.to_thread(connection.request, "GET", "/openapi/v2", headers={"accept": wanted})
    answer = await asyncio.to_thread(connection.getresponse)
    assert (answer.status, answer.headers["content-type"]) == (200, wanted.replace("@", "."))
    assert answer.read() == b""
    connection.close()


@pytest.mark.parametrize(("path", "told"), [
    ("/api/v1/namespaces/default/pods?labelSelector=app%3Dx", "clarion logs NAME"),
    ("/apis/apps/v1/namespaces/default/replicasets", "no history is kept")])
async def test_what_kubectl_logs_and_undo_look_for(api, path, told):
    """Pods and replicasets are not there: the answer says so, and what to do."""
    status, refused, _ = await api("GET", path)
    assert (status, refused["reason"], told in refused["message"]) == (404, "NotFound", True)


async def test_no_services_of_the_core_group(api):
    """`func list` asks for them, and hears that there are none; nor can one be made."""
    for where in ("/api/v1", "/api/v1/namespaces/default"):
        _, found, _ = await api("GET", f"{where}/services?labelSelector=function.knative.dev%2Fname")
        assert (found["kind"], found["apiVersion"], found["items"]) == ("ServiceList", "v1", [])
    assert (await api("GET", "/api/v1/namespaces/default/services/a"))[1]["reason"] == "NotFound"
    assert (await api("POST", "/api/v1/namespaces/default/services", {}))[0] == 404


async def test_a_path_that_is_none(api):
    """Even what no route knows is answered with a Status, which kn and kubectl can read."""
    status, refused, _ = await api("GET", "/nowhere")
    assert (status, refused["kind"], refused["reason"]) == (404, "Status", "NotFound")
