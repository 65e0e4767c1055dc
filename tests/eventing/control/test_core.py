"""Namespaces, ConfigMaps and Secrets over HTTP."""

import base64


async def test_namespaces_that_are_there_from_the_start(api):
    """The four that clients and settings count on, Active."""
    _, listed, _ = await api("GET", "/api/v1/namespaces")
    found = {one["metadata"]["name"]: one["status"]["phase"] for one in listed["items"]}
    assert found == dict.fromkeys(["default", "knative-eventing", "knative-serving", "kube-system"], "Active")
    _, one, _ = await api("GET", "/api/v1/namespaces/default")
    assert one["metadata"]["labels"] == {"kubernetes.io/metadata.name": "default"}


async def test_a_namespace_is_a_label(api):
    """Dots are fine in other names, not in a namespace's."""
    status, refused, _ = await api("POST", "/api/v1/namespaces", {"metadata": {"name": "a.b"}})
    assert (status, refused["reason"]) == (422, "Invalid")
    assert "RFC 1123 label" in refused["message"]


async def test_secrets_keep_what_they_are_given(api):
    """StringData becomes data, and the type is Opaque unless told otherwise."""
    path = "/api/v1/namespaces/default/secrets"
    _, made, _ = await api("POST", path, {"metadata": {"name": "s"}, "stringData": {"user": "me"}})
    assert made["data"] == {"user": base64.b64encode(b"me").decode()}
    assert (made["type"], "stringData" in made, "generation" in made["metadata"]) == ("Opaque", False, False)


async def test_config_maps_hold_text(api):
    """An unquoted number of YAML is refused where it is written, not where it is read."""
    path = "/api/v1/namespaces/default/configmaps"
    status, refused, _ = await api("POST", path, {"metadata": {"name": "c"}, "data": {"n": 1}})
    assert (status, refused["reason"]) == (400, "BadRequest")
    assert "ConfigMap.data of type string" in refused["message"]
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    await api("POST", path, {"metadata": {"name": "c"}, "data": {"n": "1", "m": "2"}})
    assert (await api("GET", path, accept=accept))[1]["rows"][0]["cells"][:2] == ["c", 2]


async def test_defaults_see_settings(api):
    """A kind's defaults may come from a ConfigMap."""
    await api("POST", "/api/v1/namespaces/default/configmaps",
              {"metadata": {"name": "toys"}, "data": {"colour": "blue"}})
    path = "/apis/toys.knative.dev/v1/namespaces/default/toys"
    _, made, _ = await api("POST", path, {"metadata": {"name": "a"}})
    assert made["spec"] == {"colour": "blue"}
