"""Kinds that are not stored, but shown: each object is made from one of another kind as it is read."""

import pytest

from eventing.control import kind as kinds
from eventing.control import resource
from eventing.control.kind import Column, Kind, View

BLOCKS = "/apis/toys.knative.dev/v1/namespaces/default/blocks"
SHADOWS = "/apis/shadows.knative.dev/v1/namespaces/default/shadows"
MERGE = {"content_type": "application/merge-patch+json"}
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def _shadow(block, config):
    """Twice as long as its block; `long`, if that is what ConfigMap default/shadows calls it."""
    size = 2 * resource.spec(block).get("size", 1)
    labels = {**resource.labels(block)}
    if size >= int(config("default", "shadows").get("long", "100")):
        labels["long"] = "yes"
    return {"apiVersion": "shadows.knative.dev/v1", "kind": "Shadow",
            "metadata": {**resource.meta(block), "uid": f"shadow-{resource.uid(block)}", "labels": labels},
            "spec": {"size": size}}


@pytest.fixture(autouse=True)
def shadows():
    """The view, registered."""
    block = kinds.lookup("toys.knative.dev", "v1", "blocks")
    return kinds.register(Kind(
        group="shadows.knative.dev", version="v1", kind="Shadow", plural="shadows", singular="shadow",
        columns=(Column("Size", ".spec.size", "integer"),), view=View(block, _shadow)))


async def test_it_is_read_like_any_other(api):
    """It can be got and listed, by its own labels, and as a table; it has its source's version."""
    await api("POST", "/api/v1/namespaces/default/configmaps",
              {"metadata": {"name": "shadows"}, "data": {"long": "6"}})
    _, made, _ = await api("POST", BLOCKS, {"metadata": {"name": "a"}, "spec": {"size": 2}})
    await api("POST", BLOCKS, {"metadata": {"name": "b"}, "spec": {"size": 3}})

    _, found, _ = await api("GET", f"{SHADOWS}/a")
    assert (found["kind"], found["spec"]) == ("Shadow", {"size": 4})
    assert found["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    assert (await api("GET", f"{SHADOWS}/a/status"))[1] == found
    _, listed, _ = await api("GET", "/apis/shadows.knative.dev/v1/shadows")
    assert (listed["kind"], [each["spec"]["size"] for each in listed["items"]]) == ("ShadowList", [4, 6])
    _, chosen, _ = await api("GET", f"{SHADOWS}?labelSelector=long%3Dyes")
    assert [each["metadata"]["name"] for each in chosen["items"]] == ["b"]
    _, page, _ = await api("GET", f"{SHADOWS}?limit=1")
    _, rest, _ = await api("GET", f"{SHADOWS}?limit=1&continue={page['metadata']['continue']}")
    assert [each["metadata"]["name"] for each in (*page["items"], *rest["items"])] == ["a", "b"]
    _, table, _ = await api("GET", SHADOWS, accept=TABLE)
    assert [row["cells"] for row in table["rows"]] == [["a", 4], ["b", 6]]
    status, refused, _ = await api("GET", f"{SHADOWS}/c")
    assert (status, refused["message"]) == (404, 'shadows.shadows.knative.dev "c" not found')


async def test_it_is_watched_like_any_other(api):
    """A change of the source is a change of what it shows, with the labels of that."""
    async with api.watch(f"{SHADOWS}?watch=true&labelSelector=a%3Db") as line:
        await api("POST", BLOCKS, {"metadata": {"name": "x"}})
        await api("PATCH", f"{BLOCKS}/x", {"metadata": {"labels": {"a": "b"}}}, **MERGE)
        await api("PATCH", f"{BLOCKS}/x", {"spec": {"size": 4}}, **MERGE)
        await api("PATCH", f"{BLOCKS}/x", {"metadata": {"labels": {"a": "c"}}}, **MERGE)
        seen = [await line() for _ in range(3)]
    assert [(each["type"], each["object"]["kind"]) for each in seen] == [
        ("ADDED", "Shadow"), ("MODIFIED", "Shadow"), ("DELETED", "Shadow")]
    assert seen[1]["object"]["spec"] == {"size": 8}


@pytest.mark.parametrize(("method", "path"), [
    ("POST", SHADOWS), ("DELETE", SHADOWS), ("PUT", f"{SHADOWS}/a"), ("PATCH", f"{SHADOWS}/a"),
    ("DELETE", f"{SHADOWS}/a"), ("PATCH", f"{SHADOWS}/a/status")])
async def test_it_is_not_written(api, method, path):
    """Whoever wants to change it is told what to change instead; discovery says so beforehand."""
    await api("POST", BLOCKS, {"metadata": {"name": "a"}})
    status, refused, _ = await api(method, path, {"metadata": {"name": "a"}})
    assert (status, refused["reason"]) == (405, "MethodNotAllowed")
    assert "each is made from the Block of its name" in refused["message"]
    assert (await api("GET", f"{BLOCKS}/a"))[0] == 200

    _, listed, _ = await api("GET", "/apis/shadows.knative.dev/v1")
    assert [each["verbs"] for each in listed["resources"]] == [["get", "list", "watch"], ["get"]]
