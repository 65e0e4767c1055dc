"""Service: from YAML to READY True."""

import pytest

from eventing.control import resource

GROUP = "serving.knative.dev"
DIGEST = "ab" * 32


def service(name="hello", image=f"func://hello@sha256:{DIGEST}", env="1", extra=""):
    """A Service of one container, as YAML."""
    return f"""
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {{name: {name}}}
spec:
  template:
    spec:
      containers:
      - image: {image}
        env: [{{name: V, value: "{env}"}}]
{extra}
"""


async def ready(cluster, name="hello"):
    """Wait for READY True."""
    return await cluster.until_condition(f"Service.{GROUP}", name, "Ready", status="True")


async def test_becomes_ready(cluster, report):
    """A Service makes Configuration, Route and Revision; when a worker is ready, all are."""
    await cluster.apply(service())
    await report("hello-00001")
    await ready(cluster)

    found = cluster.get(f"Service.{GROUP}", "hello")
    revision = cluster.get(f"Revision.{GROUP}", "hello-00001")
    url = f"http://hello.default.localhost:{cluster.config.port}"
    assert found["status"]["url"] == url
    assert found["status"]["address"] == {"url": "http://hello.default.svc.cluster.local"}
    assert found["status"]["traffic"] == [
        {"revisionName": "hello-00001", "percent": 100, "latestRevision": True}
    ]
    assert found["status"]["latestReadyRevisionName"] == "hello-00001"
    assert found["status"]["latestCreatedRevisionName"] == "hello-00001"
    assert [c["type"] for c in found["status"]["conditions"]] == [
        "ConfigurationsReady",
        "Ready",
        "RoutesReady",
    ]
    assert revision["status"]["actualReplicas"] == 1
    routes = await cluster.projected("routes")
    assert routes == {
        "hello.default.localhost": {
            "service": "default/hello",
            "targets": [{"revision": "default/hello-00001", "percent": 100, "tag": ""}],
        }
    }


async def test_children(cluster):
    """Children have the Service's name, labels and annotations, and Knative's own labels."""
    text = service().replace(
        "{name: hello}",
        "{name: hello, labels: {team: a}, annotations: {note: b, "
        "serving.knative.dev/rollout-duration: 10s, "
        "kubectl.kubernetes.io/last-applied-configuration: x}}",
    )
    await cluster.apply(text)
    await cluster.until_condition(
        f"Service.{GROUP}", "hello", "RoutesReady", status="Unknown", reason="RevisionMissing"
    )
    await cluster.until(
        lambda: (
            resource.labels(cluster.get(f"Revision.{GROUP}", "hello-00001")).get(f"{GROUP}/routingState")
            == "active"
        )
    )
    stored = cluster.get(f"Service.{GROUP}", "hello")
    configuration = cluster.get(f"Configuration.{GROUP}", "hello")
    route = cluster.get(f"Route.{GROUP}", "hello")
    revision = cluster.get(f"Revision.{GROUP}", "hello-00001")

    assert resource.is_controlled_by(configuration, stored)
    assert resource.is_controlled_by(route, stored)
    assert resource.is_controlled_by(revision, configuration)
    assert resource.labels(configuration) == {
        "team": "a",
        f"{GROUP}/service": "hello",
        f"{GROUP}/serviceUID": resource.uid(stored),
    }
    assert resource.annotations(configuration) == {
        "note": "b",
        f"{GROUP}/routes": "hello",
        f"{GROUP}/creator": "system:anonymous",
        f"{GROUP}/lastModifier": "system:anonymous",
    }
    assert resource.labels(route) == {"team": "a", f"{GROUP}/service": "hello"}
    assert resource.annotations(route) == {
        "note": "b",
        f"{GROUP}/rollout-duration": "10s",
        f"{GROUP}/creator": "system:anonymous",
        f"{GROUP}/lastModifier": "system:anonymous",
    }
    assert resource.labels(revision) == {
        f"{GROUP}/configuration": "hello",
        f"{GROUP}/configurationGeneration": "1",
        f"{GROUP}/configurationUID": resource.uid(configuration),
        f"{GROUP}/service": "hello",
        f"{GROUP}/serviceUID": resource.uid(stored),
        f"{GROUP}/routingState": "active",
    }
    assert resource.annotations(revision)[f"{GROUP}/creator"] == "system:anonymous"
    assert resource.annotations(revision)[f"{GROUP}/routes"] == "hello"
    assert "note" not in resource.annotations(revision)


async def test_what_it_waits_for(cluster, report):
    """While its Revision is on its way a Service says what that one waits for, and no longer than that."""
    await cluster.apply(service())
    said = 'Readiness probe failed: command "sleep 5" timed out after 1 s'
    await report("hello-00001", healthy=None, reason="Deploying", message=said)

    def told():
        found = cluster.get(f"Service.{GROUP}", "hello").get("status") or {}
        return (resource.condition(found, "Ready") or {}).get("message")

    await cluster.until(lambda: told() == said)

    await report("hello-00001")
    await ready(cluster)


async def test_rolls(cluster, report):
    """A changed template makes another revision; traffic stays until that one is ready, and then moves."""
    await cluster.apply(service(env="1"))
    await report("hello-00001")
    await ready(cluster)
    await cluster.apply(service(env="2"))
    await cluster.until(lambda: cluster.get(f"Revision.{GROUP}", "hello-00002"))
    await cluster.until_condition(f"Service.{GROUP}", "hello", "Ready", status="Unknown")
    routes = await cluster.projected("routes")
    assert routes["hello.default.localhost"]["targets"][0]["revision"] == "default/hello-00001"

    await report("hello-00002")
    await ready(cluster)

    routes = await cluster.projected("routes")
    assert routes["hello.default.localhost"]["targets"][0]["revision"] == "default/hello-00002"
    records = await cluster.until_projected("revisions", lambda t: not t["default/hello-00001"]["reachable"])
    assert records["default/hello-00002"]["reachable"]
    old = cluster.get(f"Revision.{GROUP}", "hello-00001")
    assert resource.labels(old)[f"{GROUP}/routingState"] == "reserve"
    assert f"{GROUP}/routes" not in resource.annotations(old)
    assert resource.is_ready(old)


async def test_broken_revision_leaves_the_old_one(cluster, report):
    """A revision that does not start makes the Service not Ready, and the old one goes on serving."""
    await cluster.apply(service(env="1"))
    await report("hello-00001")
    await ready(cluster)
    await cluster.apply(service(env="2"))
    await report("hello-00002", healthy=False, reason="ExitCode1", message="ImportError: no x")

    failed = await cluster.until_condition(f"Service.{GROUP}", "hello", "ConfigurationsReady", status="False")

    assert failed["reason"] == "RevisionFailed"
    assert failed["message"] == (
        'Revision "hello-00002" failed with message: Container failed with: ImportError: no x.'
    )
    broken = await cluster.until_condition(f"Revision.{GROUP}", "hello-00002", "Ready", status="False")
    assert (broken["reason"], broken["message"]) == ("ExitCode1", "Container failed with: ImportError: no x")
    found = cluster.get(f"Service.{GROUP}", "hello")
    assert found["status"]["latestReadyRevisionName"] == "hello-00001"
    assert found["status"]["latestCreatedRevisionName"] == "hello-00002"
    routes = await cluster.projected("routes")
    assert routes["hello.default.localhost"]["targets"][0]["revision"] == "default/hello-00001"

    await cluster.apply(service(env="3"))
    await report("hello-00003")
    await ready(cluster)


async def test_own_name_is_kept_and_taken(cluster, report):
    """A revision may be named by hand; a name that another template has taken is refused by a condition."""
    named = service().replace("template:", "template:\n    metadata: {name: hello-v1}")
    await cluster.apply(named)
    await report("hello-v1")
    await ready(cluster)
    await cluster.apply(service(env="2"))
    await report("hello-00002")
    await ready(cluster)

    await cluster.apply(service(env="3").replace("template:", "template:\n    metadata: {name: hello-v1}"))
    taken = await cluster.until_condition(f"Service.{GROUP}", "hello", "RoutesReady", status="False")

    assert taken["reason"] == "RevisionNameTaken"
    assert taken["message"] == (
        'The revision name "hello-v1" is taken by a conflicting Revision, so traffic will not be migrated'
    )
    ready_ = await cluster.until_condition(f"Configuration.{GROUP}", "hello", "Ready", status="False")
    assert ready_["reason"] == "RevisionFailed"
    assert ready_["message"].startswith(
        'Revision creation failed with message: revisions.serving.knative.dev "hello-v1" already exists'
    )


async def test_traffic_by_percent_and_tag(cluster, report):
    """Traffic is split by percent; every tag has a host and a URL; with a tag goes its host."""
    await cluster.apply(service(env="1"))
    await report("hello-00001")
    await ready(cluster)
    split = """
  traffic:
  - {revisionName: hello-00001, percent: 80, tag: old}
  - {latestRevision: true, percent: 20, tag: new}
"""
    await cluster.apply(service(env="2", extra=split))
    await report("hello-00002")
    await ready(cluster)

    routes = await cluster.projected("routes")
    assert {
        host: [(t["revision"], t["percent"]) for t in record["targets"]] for host, record in routes.items()
    } == {
        "hello.default.localhost": [("default/hello-00001", 80), ("default/hello-00002", 20)],
        "old-hello.default.localhost": [("default/hello-00001", 100)],
        "new-hello.default.localhost": [("default/hello-00002", 100)],
    }
    port = cluster.config.port
    assert cluster.get(f"Service.{GROUP}", "hello")["status"]["traffic"] == [
        {
            "revisionName": "hello-00001",
            "percent": 80,
            "latestRevision": False,
            "tag": "old",
            "url": f"http://old-hello.default.localhost:{port}",
        },
        {
            "revisionName": "hello-00002",
            "percent": 20,
            "latestRevision": True,
            "tag": "new",
            "url": f"http://new-hello.default.localhost:{port}",
        },
    ]
    revision = cluster.get(f"Revision.{GROUP}", "hello-00001")
    assert resource.labels(revision)[f"{GROUP}/routingState"] == "active"

    await cluster.apply(service(env="2"))
    await cluster.until_projected("routes", lambda table: set(table) == {"hello.default.localhost"})


async def test_missing_target(cluster):
    """Traffic to a revision that is not there is told, and heals by itself when it appears."""
    await cluster.apply(service(extra="  traffic: [{revisionName: hello-00009, percent: 100}]"))
    missing = await cluster.until_condition(f"Service.{GROUP}", "hello", "RoutesReady", status="False")

    assert missing["reason"] == "RevisionMissing"
    assert missing["message"] == 'Revision "hello-00009" referenced in traffic not found.'
    told = (await cluster.projected("routes"))["hello.default.localhost"]
    assert (told["targets"], told["why"]) == (
        [], f"Service default/hello has no revision that is ready: {missing['message']}")


async def test_drift_is_overwritten(cluster, report):
    """What somebody changes on the children is put back."""
    await cluster.apply(service())
    await report("hello-00001")
    await ready(cluster)
    route = cluster.get(f"Route.{GROUP}", "hello")
    route["metadata"]["labels"]["mine"] = "x"
    del route["metadata"]["resourceVersion"]
    await cluster.plane.objects.update(route)

    await cluster.until(lambda: "mine" not in resource.labels(cluster.get(f"Route.{GROUP}", "hello")))


async def test_child_of_somebody_else(cluster):
    """A Configuration of that name that exists already is not taken over."""
    await cluster.apply(service().replace("kind: Service", "kind: Configuration"))
    await cluster.apply(service())
    refused = await cluster.until_condition(
        f"Service.{GROUP}", "hello", "ConfigurationsReady", status="False"
    )

    assert refused["reason"] == "NotOwned"
    assert refused["message"] == 'There is an existing Configuration "hello" that we do not own.'


async def test_delete_takes_everything_along(cluster, report):
    """With a Service go its children and all that the data plane knew of it."""
    await cluster.apply(service())
    await report("hello-00001")
    await ready(cluster)
    await cluster.delete(f"Service.{GROUP}", "hello")

    await cluster.until(
        lambda: (
            not any(
                cluster.get(f"{kind}.{GROUP}", name)
                for kind, name in (
                    ("Service", "hello"),
                    ("Configuration", "hello"),
                    ("Route", "hello"),
                    ("Revision", "hello-00001"),
                )
            )
        )
    )
    assert await cluster.projected("routes") == {}
    assert await cluster.projected("revisions") == {}


async def test_at_rest_nothing_is_written(cluster, report):
    """Once all is Ready, being asked again changes nothing."""
    await cluster.apply(service())
    await report("hello-00001")
    await ready(cluster)
    before = cluster.plane.store.version
    for key in cluster.plane.store.mirror.every_key():
        cluster.plane.reconciler.wake(key)
    await cluster.until(lambda: len(cluster.plane.reconciler.queue) == 0)

    assert cluster.plane.store.version == before


NOT_BUNDLED = (
    'Unable to fetch image "func://./hello": the folder has no bundle yet: apply the file with '
    "`clarion apply -f FILE`, which makes one of it and pins its digest"
)
ELSEWHERE = (
    'Unable to fetch image "ghcr.io/me/app:1": nothing on this machine holds it: point image at '
    "the folder of a function (func://./DIR) and apply it with `clarion apply -f FILE`, or say which "
    "folder it stands for in ConfigMap knative-serving/clarion-images, or give the container a command that "
    "serves $PORT"
)


@pytest.mark.parametrize(
    ("image", "expected"), [("func://./hello", NOT_BUNDLED), ("ghcr.io/me/app:1", ELSEWHERE)]
)
async def test_image_that_is_not_here(cluster, image, expected):
    """An image that nothing here can run makes the Service not Ready, with the command that fixes it."""
    await cluster.apply(service(image=image))
    found = await cluster.until_condition(f"Revision.{GROUP}", "hello-00001", "Ready", status="False")
    failed = await cluster.until_condition(f"Service.{GROUP}", "hello", "Ready", status="False")

    assert (found["reason"], found["message"]) == ("ContainerMissing", expected)
    assert failed["message"] == f'Revision "hello-00001" failed with message: {expected}.'
    assert await cluster.projected("revisions") == {}


def test_visibility_is_judged(admit):
    """A misspelt visibility is told, and does not open a Service to everybody."""
    labels = "{name: hello, labels: {networking.knative.dev/visibility: VALUE}}"
    text = service().replace("{name: hello}", labels)

    assert admit(text.replace("VALUE", "cluster-local"))[1] == ""
    assert admit(text.replace("VALUE", "local"))[1] == (
        "invalid value: local: metadata.labels.networking.knative.dev/visibility")


def test_tags_for_inner_use_are_judged(admit):
    """A misspelt tag is told, and does not open to everybody what was meant for inner use."""
    said = "{name: hello, annotations: {clarion.dev/cluster-local-tags: 'VALUE'}}"
    text = service().replace("{name: hello}", said)
    key = "metadata.annotations.clarion.dev/cluster-local-tags"

    assert admit(text.replace("VALUE", ""))[1] == ""
    assert admit(text.replace("VALUE", "canary"))[1] == (
        f"invalid value: canary: {key}\nno target of spec.traffic has that tag")
