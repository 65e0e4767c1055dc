"""Namespaces, ConfigMaps and Secrets over HTTP."""

import base64

import pytest

WRONG = ("a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
         "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')")

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


@pytest.mark.parametrize(("plural", "kind", "field", "instead"), [
    ("secrets", "Secret", "data", "stringData"), ("configmaps", "ConfigMap", "binaryData", "data")])
async def test_what_is_no_base64(api, plural, kind, field, instead):
    """It is refused where it is written; lines may be broken."""
    path = f"/api/v1/namespaces/default/{plural}"
    for wrong in ("not base64", "YQ", "YWE=YQ==", "\u00e9"):
        held = {"good": "YQ==", "bad": wrong}
        status, refused, _ = await api("POST", path, {"metadata": {"name": "c"}, field: held})
        assert (status, refused["message"]) == (400, (
            f'{kind} in version "v1" cannot be handled as a {kind}: illegal base64 data in {field}[bad]: '
            f"plain text goes into {instead}"))
    status, _, _ = await api("POST", path, {"metadata": {"name": "c"}, field: {"a": "YWFh\nYQ==\r\n"}})
    assert status == 201


async def test_keys_that_no_file_could_be_called(api):
    """They are refused word for word as Kubernetes refuses them."""
    path = "/api/v1/namespaces/default/configmaps"
    for key, told in (("a/b", [WRONG]), ("", [WRONG]), (".", ["must not be '.'"]),
                      ("..", ["must not be '..'"]), ("..data", ["must not start with '..'"]),
                      ("../z", [WRONG, "must not start with '..'"]),
                      ("k" * 254, ["must be no more than 253 characters"])):
        status, refused, _ = await api("POST", path, {"metadata": {"name": "c"}, "data": {key: "1"}})
        listed = ", ".join(f'data[{key}]: Invalid value: "{key}": {each}' for each in told)
        listed = f"[{listed}]" if len(told) > 1 else listed
        assert (status, refused["message"]) == (422, f'ConfigMap "c" is invalid: {listed}')
    good = {".a": "1", "k" * 253: "2", "A-b_c..d": "3"}
    _, made, _ = await api("POST", path, {"metadata": {"name": "c"}, "data": good})
    assert made["data"] == good


@pytest.mark.parametrize(("plural", "field"), [
    ("configmaps", "data"), ("configmaps", "binaryData"), ("secrets", "data"), ("secrets", "stringData")])
async def test_keys_are_looked_at_whoever_sends_them(api, plural, field):
    """Creating, replacing and patching: none of them stores a key that is refused."""
    path = f"/api/v1/namespaces/default/{plural}"
    wrong = {"apiVersion": "v1", "kind": "Secret" if plural == "secrets" else "ConfigMap",
             "metadata": {"name": "c"}, field: {"a/b": "YQ=="}}
    await api("POST", path, {**wrong, field: {"a": "YQ=="}})
    for method, place, content in (
            ("POST", "", "application/json"), ("PUT", "/c", "application/json"),
            ("PATCH", "/c", "application/merge-patch+json")):
        status, refused, _ = await api(method, f"{path}{place}", wrong, content_type=content)
        assert (status, refused["reason"]) == (422, "Invalid"), (method, content)
    _, found, _ = await api("GET", f"{path}/c")
    assert list(found["data" if plural == "secrets" else field]) == ["a"]


async def test_defaults_see_settings(api):
    """A kind's defaults may come from a ConfigMap."""
    await api("POST", "/api/v1/namespaces/default/configmaps",
              {"metadata": {"name": "toys"}, "data": {"colour": "blue"}})
    path = "/apis/toys.knative.dev/v1/namespaces/default/toys"
    _, made, _ = await api("POST", path, {"metadata": {"name": "a"}})
    assert made["spec"] == {"colour": "blue"}
