"""Server-side apply, as `kubectl apply --server-side` and operators send it: who owns what, and what goes."""

import json

import pytest

BLOCKS = "/apis/toys.knative.dev/v1/namespaces/default/blocks"
CONFLICT = 'Apply failed with 1 conflict: conflict with "ann": .spec.size'


@pytest.fixture
def apply(api):
    """`apply(who, {...})`: spec of the one Block as *who* applies it; answers status and what came back."""
    async def send(who, spec, query="", **meta):
        sent = {"apiVersion": "toys.knative.dev/v1", "kind": "Block", "metadata": {"name": "cube", **meta},
                "spec": spec}
        status, answer, _ = await api("PATCH", f"{BLOCKS}/cube?fieldManager={who}{query}", sent,
                                      content_type="application/apply-patch+yaml")
        return status, answer
    return send


def owners(found):
    """Manager -> its fields, of the spec, as text."""
    return {entry["manager"]: json.dumps(entry["fieldsV1"].get("f:spec"), sort_keys=True)
            for entry in found["metadata"]["managedFields"]}


async def test_create_change_and_nothing(api, apply):
    """The first apply creates, the second changes, the third writes nothing."""
    status, made = await apply("ann", {"size": 1, "paint": {"colour": "red"}}, labels={"a": "b"})
    assert (status, made["spec"]) == (201, {"size": 1, "paint": {"colour": "red"}})
    assert made["metadata"]["labels"] == {"a": "b"}
    [entry] = made["metadata"]["managedFields"]
    assert (entry["operation"], entry["fieldsType"], entry["apiVersion"]) == ("Apply", "FieldsV1",
                                                                             "toys.knative.dev/v1")
    assert entry["fieldsV1"] == {"f:metadata": {"f:labels": {"f:a": {}}},
                                 "f:spec": {"f:paint": {"f:colour": {}}, "f:size": {}}}
    status, changed = await apply("ann", {"size": 2, "paint": {"colour": "red"}})
    assert (status, changed["spec"]["size"], "labels" in changed["metadata"]) == (200, 2, False)
    assert (await apply("ann", {"size": 2, "paint": {"colour": "red"}}))[1] == changed
    assert (await api("GET", f"{BLOCKS}/cube"))[1] == changed


async def test_what_is_applied_no_more_goes(api, apply):
    """A field that its manager leaves out goes; what was patched, or another applied as well, stays."""
    await apply("ann", {"size": 1, "paint": {"colour": "red"}, "holes": [1]})
    await apply("bob", {"size": 1})
    merge = {"content_type": "application/merge-patch+json"}
    await api("PATCH", f"{BLOCKS}/cube", {"spec": {"note": "mine"}}, **merge)
    _, left = await apply("ann", {"holes": [1]})
    assert left["spec"] == {"size": 1, "holes": [1], "note": "mine"}
    assert owners(left) == {"ann": '{"f:holes": {}}', "bob": '{"f:size": {}}'}


async def test_conflicts(apply):
    """Another's field is changed by force only, and is the other's no more then."""
    await apply("ann", {"size": 1, "holes": [1]})
    status, refused = await apply("bob", {"size": 2})
    assert (status, refused["reason"], refused["message"]) == (409, "Conflict", CONFLICT)
    assert refused["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "ann"', "field": ".spec.size"}]
    _, both = await apply("bob", {"size": 2, "holes": [2]})
    assert both["message"] == (
        'Apply failed with 2 conflicts: conflicts with "ann":\n- .spec.holes\n- .spec.size')
    status, forced = await apply("bob", {"size": 2}, "&force=true")
    assert (status, forced["spec"]) == (200, {"size": 2, "holes": [1]})
    assert owners(forced) == {"ann": '{"f:holes": {}}', "bob": '{"f:size": {}}'}
    assert (await apply("ann", {"holes": [1]}))[1]["spec"] == {"size": 2, "holes": [1]}


async def test_a_group_within_a_field(apply):
    """An empty object is its manager's, what is in it another's; what is none cannot be both."""
    await apply("ann", {"paint": {}})
    assert (await apply("bob", {"paint": {"colour": "red"}}))[1]["spec"] == {"paint": {"colour": "red"}}
    assert (await apply("ann", {"paint": {}}))[1]["spec"] == {"paint": {"colour": "red"}}
    assert (await apply("ann", {"paint": "none"}))[0] == 409
    assert (await apply("bob", {}))[1]["spec"] == {"paint": {}}
    assert (await apply("ann", {"paint": "none"}))[1]["spec"] == {"paint": "none"}
    assert (await apply("bob", {"paint": {"colour": "red"}}))[0] == 409
    _, forced = await apply("bob", {"paint": {"colour": "red"}}, "&force=true")
    assert owners(forced) == {"bob": '{"f:paint": {"f:colour": {}}}'}


async def test_managers_survive_other_writes(api, apply):
    """A PUT without managedFields or with null keeps them, one with an empty list ends them."""
    _, made = await apply("ann", {"size": 1})
    fields = made["metadata"].pop("managedFields")
    _, put, _ = await api("PUT", f"{BLOCKS}/cube", {**made, "spec": {"size": 2}})
    assert put["metadata"]["managedFields"] == fields
    put["metadata"]["managedFields"] = None
    status, put, _ = await api("PUT", f"{BLOCKS}/cube", put)
    assert (status, put["metadata"]["managedFields"]) == (200, fields)
    put["metadata"]["managedFields"] = []
    assert "managedFields" not in (await api("PUT", f"{BLOCKS}/cube", put))[1]["metadata"]


@pytest.mark.parametrize("foreign", [
    {"manager": "x", "operation": "Update", "fieldsV1": {"f:spec": {"f:size": {}}}},
    {"manager": "x", "operation": "Apply", "fieldsV1": {"f:spec": {"f:holes": {'k:{"a":1}': {".": {}}}}}},
    {"operation": "Apply", "fieldsV1": []}, {"manager": 3, "operation": "Apply", "fieldsV1": {"f:spec": 4}}])
async def test_what_another_server_wrote(api, apply, foreign):
    """Entries that came with an exported object are kept, read as far as they can be, and break nothing."""
    await api("POST", BLOCKS, {"metadata": {"name": "cube", "managedFields": [foreign]}, "spec": {"size": 1}})
    assert (await apply("ann", {"size": 2}, "&force=true"))[1]["spec"] == {"size": 2}


async def test_an_object_that_came_with_null(api):
    """It says nothing of managers, is stored without them, and can be changed like any other."""
    sent = {"metadata": {"name": "cube", "managedFields": None}, "spec": {"size": 1}}
    status, made, _ = await api("POST", BLOCKS, sent)
    assert (status, "managedFields" in made["metadata"]) == (201, False)
    status, put, _ = await api("PUT", f"{BLOCKS}/cube", {**sent, "spec": {"size": 2}})
    assert (status, put["spec"]["size"], "managedFields" in put["metadata"]) == (200, 2, False)


async def test_refused(api, apply):
    """Without a manager, with managers of its own, of a stale version, or what is no object."""
    status, refused = await apply("", {})
    assert (status, "fieldManager: Required value" in refused["message"]) == (422, True)
    await apply("ann", {"size": 1})
    assert (await apply("ann", {"size": 2}, resourceVersion="1"))[0] == 409
    assert (await apply("ann", {}, managedFields=[{"manager": "ann"}]))[0] == 400
    for body in ("[", "[]", "metadata: {managedFields: 3}", "kind: Toy"):
        status, _, _ = await api("PATCH", f"{BLOCKS}/cube?fieldManager=ann", body,
                                 content_type="application/apply-patch+yaml")
        assert status == 400, body


async def test_yaml_status_and_dry_run(api, apply):
    """YAML is taken, the status has its own path, and a dry run stores nothing."""
    await apply("ann", {"size": 1})
    sent = "apiVersion: toys.knative.dev/v1\nkind: Block\nmetadata: {name: cube}\n"
    where, yaml = f"{BLOCKS}/cube", {"content_type": "application/apply-patch+yaml"}
    _, told, _ = await api("PATCH", f"{where}/status?fieldManager=ann", f"{sent}status: {{seen: 1}}", **yaml)
    assert (told["spec"], told["status"]) == ({"size": 1}, {"seen": 1})
    _, dry, _ = await api("PATCH", f"{where}?fieldManager=ann&dryRun=All", f"{sent}spec: {{size: 3}}", **yaml)
    assert (dry["spec"], (await api("GET", f"{BLOCKS}/cube"))[1]["spec"]) == ({"size": 3}, {"size": 1})
