"""The verbs over real HTTP: CRUD, conflicts, status, patches, tables, and errors word for word."""

import pytest

TOYS = "/apis/toys.knative.dev/v1/namespaces/default/toys"
BLOCKS = "/apis/toys.knative.dev/v1/namespaces/default/blocks"


def toy(name="bear", **spec):
    """A Toy to send."""
    return {"apiVersion": "toys.knative.dev/v1", "kind": "Toy", "metadata": {"name": name}, "spec": spec}


def block(name="cube", **spec):
    """A Block to send."""
    return {"apiVersion": "toys.knative.dev/v1", "kind": "Block", "metadata": {"name": name}, "spec": spec}


async def test_create_stamps_what_the_server_owns(api):
    """What a client sends as uid, generation or status of a new object is not believed."""
    sent = toy(size=3) | {"status": {"seen": 99}}
    sent["metadata"] |= {"uid": "mine", "generation": 7, "creationTimestamp": "1999-01-01T00:00:00Z"}
    status, made, _ = await api("POST", TOYS, sent)
    assert status == 201
    assert made["metadata"]["uid"] != "mine"
    assert made["metadata"]["generation"] == 1
    assert made["metadata"]["creationTimestamp"] > "2020"
    assert made["metadata"]["namespace"] == "default"
    assert made["spec"] == {"size": 3, "colour": "red"}
    assert "status" not in made


async def test_get_list_update_delete(api):
    """The plain life of an object."""
    _, made, _ = await api("POST", BLOCKS, block(size=1))
    assert (await api("GET", BLOCKS + "/cube"))[1] == made
    _, listed, _ = await api("GET", BLOCKS)
    assert (listed["kind"], listed["apiVersion"]) == ("BlockList", "toys.knative.dev/v1")
    assert listed["items"] == [made]
    made["spec"]["size"] = 2
    status, changed, _ = await api("PUT", BLOCKS + "/cube", made)
    assert (status, changed["metadata"]["generation"]) == (200, 2)
    assert int(changed["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    status, gone, _ = await api("DELETE", BLOCKS + "/cube")
    assert (status, gone) == (200, {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {"name": "cube", "group": "toys.knative.dev", "kind": "blocks",
                    "uid": made["metadata"]["uid"]}})
    assert (await api("GET", BLOCKS + "/cube"))[0] == 404


async def test_a_stale_update_is_a_conflict(api):
    """Two writers from the same version: the second one hears it in Kubernetes' words."""
    _, made, _ = await api("POST", BLOCKS, block(size=1))
    await api("PUT", BLOCKS + "/cube", made | {"spec": {"size": 2}})
    status, refused, _ = await api("PUT", BLOCKS + "/cube", made | {"spec": {"size": 3}})
    assert (status, refused) == (409, {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Conflict",
        "message": 'Operation cannot be fulfilled on blocks.toys.knative.dev "cube": the object has been '
                   "modified; please apply your changes to the latest version and try again",
        "details": {"name": "cube", "group": "toys.knative.dev", "kind": "blocks"}, "code": 409})


async def test_generation_counts_spec_changes_only(api):
    """Labels and status leave generation alone; a write that changes nothing writes nothing."""
    await api("POST", BLOCKS, block(size=1))
    merge = {"content_type": "application/merge-patch+json"}
    _, labelled, _ = await api("PATCH", BLOCKS + "/cube", {"metadata": {"labels": {"a": "b"}}}, **merge)
    both = {"status": {"x": 1}, "spec": {"size": 9}}
    _, reported, _ = await api("PATCH", BLOCKS + "/cube/status", both, **merge)
    assert (labelled["metadata"]["generation"], reported["metadata"]["generation"]) == (1, 1)
    assert (reported["spec"], reported["status"]) == ({"size": 1}, {"x": 1})
    _, changed, _ = await api("PATCH", BLOCKS + "/cube", {"spec": {"size": 2}, "status": {"x": 2}}, **merge)
    assert (changed["metadata"]["generation"], changed["status"]) == (2, {"x": 1})
    _, same, _ = await api("PATCH", BLOCKS + "/cube", {"spec": {"size": 2}}, **merge)
    assert same == changed


@pytest.mark.parametrize(("method", "path", "body", "status", "reason", "message"), [
    pytest.param("GET", TOYS + "/none", None, 404, "NotFound", 'toys.toys.knative.dev "none" not found',
                 id="an absent object"),
    pytest.param("GET", "/apis/toys.knative.dev/v1/namespaces/default/cars", None, 404, "NotFound",
                 "the server could not find the requested resource", id="an unknown kind"),
    pytest.param("GET", "/apis/none.dev/v1/x", None, 404, "NotFound",
                 "the server could not find the requested resource", id="an unknown group"),
    pytest.param("POST", TOYS.replace("default", "attic"), toy(), 404, "NotFound",
                 'namespaces "attic" not found', id="a missing namespace"),
    pytest.param("POST", TOYS, toy(size=0), 400, "BadRequest",
                 'admission webhook "validation.webhook.eventing.knative.dev" denied the request: validation '
                 "failed: missing field(s): spec.size", id="what the kind refuses"),
    pytest.param("POST", TOYS, toy("Bear"), 422, "Invalid", None, id="a name with a capital"),
    pytest.param("POST", TOYS, {"metadata": {}}, 422, "Invalid",
                 'Toy.toys.knative.dev "" is invalid: metadata.name: Required value: name or generateName is '
                 "required", id="no name"),
    pytest.param("POST", TOYS, {"metadata": {"name": "a", "labels": {"n": 1}}}, 400, "BadRequest",
                 'Toy in version "v1" cannot be handled as a Toy: json: cannot unmarshal number into Go '
                 'struct field ObjectMeta.metadata.labels of type string: quote the value of "n"',
                 id="a label: a number"),
    pytest.param("POST", TOYS, {"metadata": {"name": "a", "annotations": ["x"]}}, 400, "BadRequest",
                 'Toy in version "v1" cannot be handled as a Toy: json: cannot unmarshal array into Go '
                 "struct field ObjectMeta.metadata.annotations of type map[string]string",
                 id="annotations: a list"),
    pytest.param("POST", TOYS, toy() | {"kind": "Car"}, 400, "BadRequest", None, id="another kind"),
    pytest.param("POST", TOYS, "{", 400, "BadRequest", None, id="no JSON"),
    pytest.param("POST", TOYS, "[]", 400, "BadRequest", None, id="a list"),
    pytest.param("POST", TOYS, toy() | {"spec": "soft"}, 400, "BadRequest", None, id="a spec that is a text"),
    pytest.param("PUT", TOYS + "/none", toy("none"), 404, "NotFound",
                 'toys.toys.knative.dev "none" not found', id="an update of what is not there"),
    pytest.param("PUT", TOYS + "/a", toy("b"), 400, "BadRequest",
                 "the name of the object (b) does not match the name on the URL (a)", id="another name"),
    pytest.param("POST", TOYS + "/a", toy("a"), 405, "MethodNotAllowed",
                 "the server does not allow this method on the requested resource", id="no such method"),
    pytest.param("GET", TOYS + "?labelSelector=a%20b", None, 400, "BadRequest", None, id="a bad selector"),
    pytest.param("GET", TOYS + "?limit=x", None, 400, "BadRequest", None, id="a bad limit"),
    pytest.param("DELETE", "/api/v1/namespaces/default", None, 403, "Forbidden",
                 'namespaces "default" is forbidden: this namespace may not be deleted', id="a lasting one"),
])
async def test_errors_word_for_word(api, method, path, body, status, reason, message):  # noqa: PLR0917
    """Every refusal is a metav1.Status that says what Kubernetes would."""
    answered, refused, _ = await api(method, path, body)
    assert (answered, refused["code"], refused["reason"]) == (status, status, reason)
    assert (refused["kind"], refused["status"]) == ("Status", "Failure")
    assert message is None or refused["message"] == message


async def test_an_object_that_is_there_cannot_be_created(api):
    """409 AlreadyExists, not Conflict: clients tell them apart."""
    await api("POST", BLOCKS, block())
    status, refused, _ = await api("POST", BLOCKS, block())
    assert (status, refused["reason"]) == (409, "AlreadyExists")
    assert refused["message"] == 'blocks.toys.knative.dev "cube" already exists'


async def test_patch_types(api):
    """Merge and JSON patches work on any kind; strategic ones on core kinds only; the rest is 415."""
    await api("POST", BLOCKS, block(size=1, holes=[1, 2]))
    patches = [
        ("application/merge-patch+json", {"spec": {"size": None, "holes": [3]}}, {"holes": [3]}),
        ("application/json-patch+json", [{"op": "add", "path": "/spec/holes/-", "value": 4}],
         {"holes": [3, 4]}),
    ]
    for type_, body, spec in patches:
        status, changed, _ = await api("PATCH", BLOCKS + "/cube", body, content_type=type_)
        assert (status, changed["spec"]) == (200, spec)
    for type_ in ("application/strategic-merge-patch+json", "text/plain"):
        status, refused, _ = await api("PATCH", BLOCKS + "/cube", {}, content_type=type_)
        assert (status, refused["reason"]) == (415, "UnsupportedMediaType")
    where = "/api/v1/namespaces/default/configmaps"
    await api("POST", where, {"metadata": {"name": "c"}, "data": {"a": "1", "b": "2"}})
    _, changed, _ = await api("PATCH", where + "/c", {"data": {"a": None}},
                              content_type="application/strategic-merge-patch+json")
    assert changed["data"] == {"b": "2"}
    test = [{"op": "test", "path": "/spec/holes/0", "value": 9}]
    status, refused, _ = await api("PATCH", BLOCKS + "/cube", test,
                                   content_type="application/json-patch+json")
    assert (status, refused["reason"]) == (422, "Invalid")


async def test_selectors_limit_and_continue(api):
    """A list is filtered by labels and fields, and read in pages without gaps."""
    for i in range(5):
        await api("POST", BLOCKS, {"metadata": {"name": f"b{i}", "labels": {"odd": str(i % 2)}}})
    names = lambda found: [one["metadata"]["name"] for one in found["items"]]  # noqa: E731
    assert names((await api("GET", BLOCKS + "?labelSelector=odd%3D1"))[1]) == ["b1", "b3"]
    assert names((await api("GET", BLOCKS + "?labelSelector=odd%20notin%20(1)"))[1]) == ["b0", "b2", "b4"]
    assert names((await api("GET", BLOCKS + "?fieldSelector=metadata.name%3Db2"))[1]) == ["b2"]
    _, page, _ = await api("GET", BLOCKS + "?limit=2")
    assert (names(page), page["metadata"]["remainingItemCount"]) == (["b0", "b1"], 3)
    _, page, _ = await api("GET", f"{BLOCKS}?limit=4&continue={page['metadata']['continue']}")
    assert (names(page), page["metadata"]["continue"]) == (["b2", "b3", "b4"], "")
    assert names((await api("GET", "/apis/toys.knative.dev/v1/blocks"))[1]) == ["b0", "b1", "b2", "b3", "b4"]


async def test_delete_collection(api):
    """What a selector picks goes, and the rest stays."""
    for name, colour in (("a", "red"), ("b", "blue")):
        await api("POST", BLOCKS, {"metadata": {"name": name, "labels": {"colour": colour}}})
    status, gone, _ = await api("DELETE", BLOCKS + "?labelSelector=colour%3Dred")
    assert (status, [one["metadata"]["name"] for one in gone["items"]]) == (200, ["a"])
    assert [one["metadata"]["name"] for one in (await api("GET", BLOCKS))[1]["items"]] == ["b"]


async def test_dry_run_changes_nothing(api):
    """dryRun=All answers what would be, and stores nothing."""
    status, made, _ = await api("POST", BLOCKS + "?dryRun=All", block(size=1))
    assert (status, made["spec"]) == (201, {"size": 1})
    assert (await api("GET", BLOCKS + "/cube"))[0] == 404
    await api("POST", BLOCKS, block(size=1))
    _, changed, _ = await api("PATCH", BLOCKS + "/cube?dryRun=All", {"spec": {"size": 2}},
                              content_type="application/merge-patch+json")
    assert changed["spec"] == {"size": 2}
    await api("DELETE", BLOCKS + "/cube?dryRun=All")
    assert (await api("GET", BLOCKS + "/cube"))[1]["spec"] == {"size": 1}


async def test_generated_names(api):
    """A generateName gets five characters that spell no words."""
    _, one, _ = await api("POST", BLOCKS, {"metadata": {"generateName": "cube-"}})
    _, other, _ = await api("POST", BLOCKS, {"metadata": {"generateName": "cube-"}})
    assert len(one["metadata"]["name"]) == len("cube-") + 5
    assert one["metadata"]["name"] != other["metadata"]["name"]


async def test_yaml_and_warnings(api):
    """A YAML body is as good as JSON, and what admission warns of becomes a header that kubectl prints."""
    body = "metadata: {name: bear}\nspec: {size: 1, deprecated: true, when: 2026-01-01}\n"
    status, made, headers = await api("POST", TOYS, body, content_type="application/yaml")
    assert (status, made["spec"]["when"]) == (201, "2026-01-01")
    assert headers["warning"] == '299 - "spec.deprecated is deprecated"'


async def test_table(api, eventually, plane, toys):
    """The table of kubectl: NAME first, ages in words, wide columns marked."""
    await api("POST", TOYS, toy(size=3))
    await eventually(lambda: "status" in plane.store.get(toys, "default", "bear"))
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    _, table, _ = await api("GET", TOYS + "?limit=500", accept=accept)
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [(c["name"], c["priority"]) for c in table["columnDefinitions"]] == [
        ("Name", 0), ("Colour", 0), ("Size", 1), ("Ready", 0), ("Reason", 0), ("Age", 0)]
    [row] = table["rows"]
    assert row["cells"][:5] == ["bear", "red", 3, "True", ""]
    assert row["cells"][5].endswith("s")
    assert row["object"]["kind"] == "PartialObjectMetadata"


async def test_a_body_over_the_limit(api):
    """3 MiB and no more, as in Kubernetes."""
    status, refused, _ = await api("POST", TOYS, b"x" * (3 * 1024 * 1024 + 1))
    assert (status, refused["reason"]) == (413, "RequestEntityTooLarge")


async def test_delete_preconditions(api):
    """A delete that names another uid is refused."""
    await api("POST", BLOCKS, block())
    status, refused, _ = await api("DELETE", BLOCKS + "/cube", {"preconditions": {"uid": "other"}})
    assert (status, refused["reason"]) == (409, "Conflict")


async def test_a_full_store(api, store):
    """A store that is full is not one that is away: 503, and it is certain that nothing was done."""
    await api("POST", BLOCKS, block(size=1))
    await store.config_set("maxmemory", "1")
    try:
        status, refused, headers = await api("POST", BLOCKS, block("cone"))
        readable, _, _ = await api("GET", BLOCKS + "/cube")
    finally:
        await store.config_set("maxmemory", "0")

    assert (status, refused["reason"], headers["retry-after"]) == (503, "ServiceUnavailable", "1")
    assert "the store is out of memory: nothing was changed" in refused["message"]
    assert readable == 200
    assert (await api("GET", BLOCKS + "/cone"))[0] == 404
