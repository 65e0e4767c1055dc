"""Knative's API specification, what it says of the objects: a test a clause."""

import pytest

RUNTIME = "services/runtime"


def body(name, image="registry.example.com/test/runtime", **env):
    """A Service with the fewest fields there may be."""
    container = {"image": image, "env": [{"name": key, "value": value} for key, value in env.items()]}
    return {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"template": {"spec": {"containers": [container]}}}}


def is_ready(found):
    """Whether it is Ready, and the status is of this generation."""
    status = found.get("status", {})
    ready = {each["status"] for each in status.get("conditions", []) if each["type"] == "Ready"}
    return status.get("observedGeneration") == found["metadata"]["generation"] and ready == {"True"}


@pytest.mark.parametrize("child", ["configurations/runtime", "routes/runtime"])
def test_children(api, child):
    """A Service owns a Configuration and a Route of its name, which have its labels and annotations."""
    service, found = api.get(RUNTIME)["metadata"], api.get(child)["metadata"]
    (owner,) = found["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == (
        "Service", "runtime", service["uid"], True)
    assert found["labels"]["serving.knative.dev/service"] == "runtime"
    assert (found["labels"]["team"], found["annotations"]["note"]) == ("a", "b")


def test_spec_is_copied(api):
    """The children's specs are the Service's."""
    spec = api.get(RUNTIME)["spec"]
    assert api.get("configurations/runtime")["spec"] == {"template": spec["template"]}
    assert api.get("routes/runtime")["spec"] == {
        "traffic": [{"latestRevision": True, "percent": 100, "configurationName": "runtime"}]}


def test_extra_labels_are_removed(api, until):
    """What somebody adds to a child goes."""
    patch = {"metadata": {"labels": {"stranger": "x"}, "annotations": {"stranger": "y"}}}
    status, _ = api.call("PATCH", "routes/runtime", patch, "application/merge-patch+json")
    assert status == 200
    until(lambda: "stranger" not in str(api.get("routes/runtime")["metadata"]), what="clean child")


def test_revision_says_where_it_comes_from(api):
    """A Revision names its Configuration and that one's generation, and has none of its other labels."""
    found = api.get("revisions/runtime-00001")["metadata"]
    assert found["labels"]["serving.knative.dev/configuration"] == "runtime"
    assert found["labels"]["serving.knative.dev/configurationGeneration"] == "1"
    assert found["labels"]["tier"] == "c"
    assert "team" not in found["labels"]
    assert "note" not in found["annotations"]
    (owner,) = found["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("Configuration", "runtime", True)


def test_conditions(api):
    """A Service has Ready, ConfigurationsReady and RoutesReady; observedGeneration comes with them."""
    status = api.get(RUNTIME)["status"]
    assert {each["type"]: each["status"] for each in status["conditions"]} == {
        "ConfigurationsReady": "True", "Ready": "True", "RoutesReady": "True"}
    assert status["observedGeneration"] == api.get(RUNTIME)["metadata"]["generation"]
    assert (status["latestCreatedRevisionName"], status["latestReadyRevisionName"]) == ("runtime-00001",) * 2


@pytest.mark.parametrize("path", [RUNTIME, "routes/runtime"])
def test_url_has_a_scheme(api, path):
    """URLs are whole."""
    status = api.get(path)["status"]
    assert status["url"].startswith("http://runtime.default.localhost:")
    assert status["address"]["url"].startswith("http://")


def test_life_of_a_service(api, until):
    """POST, GET, LIST, PUT and DELETE; a changed template is a new Revision; deleting takes the children."""
    status, made = api.call("POST", "services", body("life"))
    assert status == 201
    until(lambda: is_ready(api.get("services/life")), what="Ready")
    assert "life" in [each["metadata"]["name"] for each in api.get("services")["items"]]

    made = api.get("services/life")
    made["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "A", "value": "2"}]
    assert api.call("PUT", "services/life", made)[0] == 200
    until(lambda: is_ready(api.get("services/life")), what="Ready")
    assert api.get("services/life")["status"]["latestReadyRevisionName"] == "life-00002"
    assert api.get("revisions/life-00001")["spec"] != api.get("revisions/life-00002")["spec"]

    assert api.call("DELETE", "services/life")[0] == 200
    for child in ("services/life", "configurations/life", "routes/life", "revisions/life-00002"):
        until(lambda path=child: api.call("GET", path)[0] == 404, what=f"end of {child}")


def test_labels_alone_make_no_revision(api, until):
    """A change outside of the template makes no Revision."""
    patch = {"metadata": {"labels": {"season": "winter"}}}
    assert api.call("PATCH", RUNTIME, patch, "application/merge-patch+json")[0] == 200
    until(lambda: api.get("routes/runtime")["metadata"]["labels"].get("season"), what="copied label")
    until(lambda: is_ready(api.get(RUNTIME)), what="Ready")
    assert api.get(RUNTIME)["status"]["latestCreatedRevisionName"] == "runtime-00001"


def test_revision_does_not_change(api):
    """The spec of a Revision is what it was made with."""
    patch = {"spec": {"timeoutSeconds": 7}}
    status, refused = api.call("PATCH", "revisions/runtime-00001", patch, "application/merge-patch+json")
    assert status == 400
    assert "Immutable fields changed" in refused["message"]


def test_url_is_no_input(api):
    """The URL of a target is told, and never taken."""
    wish = body("taken")
    wish["spec"]["traffic"] = [{"latestRevision": True, "percent": 100, "url": "http://mine"}]
    status, refused = api.call("POST", "services", wish)
    assert status == 400
    assert "must not set the field(s): spec.traffic[0].url" in refused["message"]


@pytest.mark.parametrize(("fields", "words"), [
    ({"ports": [{"containerPort": 80, "name": "web"}]}, "Port name web is not allowed"),
    ({"volumeMounts": [{"name": "v", "mountPath": "/v", "mountPropagation": "HostToContainer"}]},
     "mountPropagation"),
    ({"lifecycle": {"preStop": {"exec": {"command": ["x"]}}}}, "lifecycle"),
    ({"tty": True}, "tty"), ({"stdin": True}, "stdin"),
    ({"ports": [{"containerPort": 80, "hostPort": 80}]}, "hostPort"),
    ({"env": [{"name": "PORT", "value": "1"}]}, '"PORT" is a reserved environment variable'),
])
def test_what_a_container_may_not_say(api, fields, words):
    """Fields that would bind a container to its machine, and reserved names, are refused."""
    wish = body("refused")
    wish["spec"]["template"]["spec"]["containers"][0] |= fields
    status, refused = api.call("POST", "services", wish)
    assert status == 400
    assert words in refused["message"]
