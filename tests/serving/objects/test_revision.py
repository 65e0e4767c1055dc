"""Revision: immutable, handed to the serving role, and told how it is there."""

import base64

import pytest

from eventing.control import resource
from eventing.control.failure import Failure
from eventing.control.kind import named

REVISION = "Revision.serving.knative.dev"
DIGEST = "ab" * 32
BUNDLE = f"func://hello@sha256:{DIGEST}"


def revision(fields="", spec="", annotations="{}", image=BUNDLE):
    """A Revision by itself, as YAML."""
    return f"""
apiVersion: serving.knative.dev/v1
kind: Revision
metadata: {{name: r, annotations: {annotations}}}
spec: {{{spec}{", " if spec else ""}containers: [{{image: '{image}'{", " if fields else ""}{fields}}}]}}
"""


def report(cluster, **fields):
    """What the serving role says of revision r."""
    found = cluster.get(REVISION, "r")
    return {
        "uid": resource.uid(found),
        "healthy": None,
        "reason": "",
        "message": "",
        "desired": 1,
        "actual": 0,
        "active": "Unknown",
        "active_reason": "Queued",
        "active_message": "Requests to the target are being buffered as resources are provisioned.",
        "initialized": False,
        **fields,
    }


def conditions(cluster):
    """Status and reason by type."""
    found = cluster.get(REVISION, "r")["status"]["conditions"]
    return {c["type"]: (c["status"], c.get("reason", "")) for c in found}


async def test_record(cluster):
    """The serving role gets all that it needs to start a worker, and nothing has to be parsed there."""
    stored = await cluster.apply(
        revision(
            "command: [python, -m, app], args: [-v], env: [{name: A, value: b}], "
            "ports: [{containerPort: 9000}], resources: {limits: {memory: 64Mi, cpu: 500m}}, "
            "securityContext: {runAsUser: 1000, runAsNonRoot: true}, "
            "livenessProbe: {httpGet: {path: /live}}, workingDir: sub",
            "containerConcurrency: 3, timeoutSeconds: 20, responseStartTimeoutSeconds: 10, "
            "idleTimeoutSeconds: 5",
            "{clarion.dev/entry: 'm:f', clarion.dev/preload: 'numpy, pandas', note: x, "
            "serving.knative.dev/progress-deadline: 90s, "
            "autoscaling.knative.dev/min-scale: '1'}",
        )
    )
    table = await cluster.until_projected("revisions", lambda table: "default/r" in table)

    assert table["default/r"] == {
        "uid": resource.uid(stored),
        "service": "",
        "configuration": "",
        "image": BUNDLE,
        "bundle": DIGEST,
        "entry": "m:f",
        "command": ["python", "-m", "app"],
        "args": ["-v"],
        "env": {"A": "b"},
        "preload": ["numpy", "pandas"],
        "container_concurrency": 3,
        "timeout_s": 20.0,
        "response_start_timeout_s": 10.0,
        "idle_timeout_s": 5.0,
        "memory_bytes": 64 * 2**20,
        "cpu": 0.5,
        "cpu_request": 0.5,
        "user": 1000,
        "group": None,
        "non_root": True,
        "port": 9000,
        "startup": None,
        "readiness": {"tcpSocket": {}, "successThreshold": 1},
        "liveness": {"httpGet": {"path": "/live"}},
        "working_dir": "sub", "volumes": None, "lacks": None,
        "progress_deadline_s": 90.0,
        "annotations": {"autoscaling.knative.dev/min-scale": "1"},
        "reachable": True,
    }
    status = await cluster.until(lambda: cluster.get(REVISION, "r").get("status"))
    assert status["containerStatuses"] == [{"name": "user-container", "imageDigest": BUNDLE}]


async def test_mapped_image(cluster):
    """An image may stand for a bundle; a Revision that has found its own keeps it."""
    def mapping(digest):
        return ("{apiVersion: v1, kind: ConfigMap, metadata: {name: clarion-images, namespace: "
                f"knative-serving}}, data: {{a: 'ghcr.io/me/app=func://app@sha256:{digest}'}}}}")

    await cluster.apply(revision(image="ghcr.io/me/app:1"))
    missing = await cluster.until_condition(REVISION, "r", "Ready", status="False")
    assert "ConfigMap knative-serving/clarion-images" in missing["message"]
    await cluster.apply(mapping(DIGEST))
    table = await cluster.until_projected("revisions", lambda table: "default/r" in table)
    assert (table["default/r"]["bundle"], table["default/r"]["image"]) == (DIGEST, "ghcr.io/me/app:1")
    await cluster.until(lambda: cluster.get(REVISION, "r")["status"].get("containerStatuses") == [
        {"name": "user-container", "imageDigest": f"func://app@sha256:{DIGEST}"}])

    await cluster.apply(mapping("cd" * 32))
    await cluster.apply(revision(image="ghcr.io/me/app:2").replace("name: r,", "name: s,"))
    table = await cluster.until_projected("revisions", lambda table: "default/s" in table)
    assert table["default/s"]["bundle"] == "cd" * 32
    assert table["default/r"]["bundle"] == DIGEST


async def test_deadline_of_all(cluster):
    """The progress deadline of config-deployment is for those that say nothing; ten minutes without it."""
    await cluster.apply(revision())
    await cluster.until_projected(
        "revisions", lambda table: table.get("default/r", {}).get("progress_deadline_s") == 600.0)
    await cluster.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: config-deployment, namespace: "
                        "knative-serving}, data: {progress-deadline: 2m}}")
    await cluster.until_projected(
        "revisions", lambda table: table["default/r"]["progress_deadline_s"] == 120.0)


async def test_variables_refer_to_others(cluster):
    """`$(NAME)` is the value of a variable above."""
    await cluster.apply(revision("env: [{name: A, value: b}, {name: B, value: '$(A)$(C)$$(A)'}, "
                                 "{name: C, value: c}]"))
    table = await cluster.until_projected("revisions", lambda table: "default/r" in table)

    assert table["default/r"]["env"] == {"A": "b", "B": "b$(C)$(A)", "C": "c"}


async def test_command_without_bundle(cluster):
    """A command runs whatever the image is called."""
    await cluster.apply(revision("command: [./serve]", image="ghcr.io/me/app:1"))
    table = await cluster.until_projected("revisions", lambda table: "default/r" in table)

    assert (table["default/r"]["bundle"], table["default/r"]["command"]) == (None, ["./serve"])


async def test_conditions(cluster):
    """Conditions go from Deploying over the initial scale to True, and stay there at zero workers."""
    await cluster.apply(revision())
    await cluster.until_condition(REVISION, "r", "Ready", status="Unknown", reason="Deploying")
    assert conditions(cluster) == {
        "Active": ("Unknown", "Deploying"),
        "ContainerHealthy": ("Unknown", "Deploying"),
        "ResourcesAvailable": ("Unknown", "Deploying"),
        "Ready": ("Unknown", "Deploying"),
    }
    await cluster.report("scales", "default/r", report(cluster))
    active = await cluster.until_condition(REVISION, "r", "Active", status="Unknown", reason="Queued")
    assert active["severity"] == "Info"
    assert cluster.get(REVISION, "r")["status"]["desiredReplicas"] == 1

    await cluster.report(
        "scales", "default/r", report(cluster, healthy=True, actual=1, active="True", active_reason="")
    )
    await cluster.until_condition(REVISION, "r", "Ready", status="True")
    assert cluster.get(REVISION, "r")["status"]["actualReplicas"] == 1

    idle = report(
        cluster,
        healthy=True,
        desired=0,
        active="False",
        active_reason="NoTraffic",
        active_message="The target is not receiving traffic.",
    )
    await cluster.report("scales", "default/r", idle)
    found = await cluster.until_condition(REVISION, "r", "Active", status="False", reason="NoTraffic")
    assert found["message"] == "The target is not receiving traffic."
    assert conditions(cluster)["Ready"] == ("True", "")
    assert cluster.get(REVISION, "r")["status"]["actualReplicas"] == 0


async def test_a_worker_that_is_not_ready(cluster):
    """Why is told while it starts; later the Revision stays ready, Active and an Event say it."""
    why = "Readiness probe failed: HTTP probe failed with statuscode: 503"
    await cluster.apply(revision())
    await cluster.until_projected("revisions", lambda table: "default/r" in table)
    await cluster.report("scales", "default/r", report(cluster, unready=why))
    await cluster.until(lambda: said(cluster, "Ready") == ("Unknown", "Deploying", why))

    running = {"healthy": True, "active": "True", "active_reason": "", "active_message": ""}
    await cluster.report("scales", "default/r", report(cluster, **running, actual=2))
    await cluster.until_condition(REVISION, "r", "Ready", status="True")
    await cluster.report("scales", "default/r", report(
        cluster, **running, actual=1, unready=why, trouble=["Unhealthy", why]))
    await cluster.until(lambda: said(cluster, "Active") == ("True", "Unhealthy", why))
    assert said(cluster, "Ready") == ("True", "", "")
    assert {event["message"] for event in cluster.plane.store.list(named("Event"), "default")
            if event["reason"] == "Unhealthy"} == {why}
    await cluster.report("scales", "default/r", report(cluster, **running, actual=2))
    await cluster.until(lambda: said(cluster, "Active") == ("True", "", ""))


async def test_a_trouble_of_one_that_is_healthy(cluster):
    """Workers that die again and again though they answer are an Event, once, and Active says it."""
    trouble = ["BackOff", "Back-off restarting failed worker: ExitCode7: exit status 7"]
    running = {"healthy": True, "active": "True", "active_reason": "", "active_message": ""}
    await cluster.apply(revision())
    await cluster.until_projected("revisions", lambda table: "default/r" in table)
    for actual in (1, 0, 2):
        await cluster.report("scales", "default/r", report(
            cluster, **running, actual=actual, trouble=trouble))
        await cluster.until(lambda actual=actual: status(cluster).get("actualReplicas") == actual)
    assert said(cluster, "Ready") == ("True", "", "")
    assert said(cluster, "Active") == ("True", *trouble)
    await cluster.until(lambda: ("Warning", *trouble) in events(cluster))
    [found] = [each for each in cluster.plane.store.list(named("Event"), "default")
               if each["reason"] == "BackOff"]
    assert found["count"] == 1
    await cluster.report("scales", "default/r", report(cluster, **running, actual=1))
    await cluster.until(lambda: said(cluster, "Active") == ("True", "", ""))


def said(cluster, type_):
    """Status, reason and message of a condition of revision r."""
    found = resource.condition(status(cluster), type_) or {}
    return found.get("status"), found.get("reason", ""), found.get("message", "")


def status(cluster):
    """The status of revision r: it comes a little after its record."""
    return cluster.get(REVISION, "r").get("status") or {}


@pytest.mark.parametrize(
    ("reason", "message", "type_", "expected"),
    [
        ("ExitCode3", "boom", "ContainerHealthy", ("ExitCode3", "Container failed with: boom")),
        (
            "ExitCode1",
            "Traceback (most recent call last):\n  File 'func.py', line 1\nModuleNotFoundError: no 'x'\n",
            "ContainerHealthy",
            ("ExitCode1", "Container failed with: ModuleNotFoundError: no 'x'"),
        ),
        (
            "ExitCode1",
            '  File "func.py", line 3\n    def f(\n         ^\nSyntaxError: \'(\' was never closed',
            "ContainerHealthy",
            ("ExitCode1", "Container failed with: SyntaxError: '(' was never closed (func.py, line 3)"),
        ),
        (
            "ExitCode0",
            'Traceback (most recent call last):\n  File "func.py", line 2, in <module>\nSystemExit: 0',
            "ContainerHealthy",
            ("ExitCode0", "Container failed with: SystemExit: 0 (func.py, line 2)"),
        ),
        (
            "PreloadFailed",
            "clarion.dev/preload: 'n' cannot be imported: Error",
            "ContainerHealthy",
            ("PreloadFailed", "Container failed with: clarion.dev/preload: 'n' cannot be imported: Error"),
        ),
        (
            "ExitCode1",
            "node:internal:1404\n  throw err;\n\nError: Cannot find 'x'\n    at resolve\n}\n\nNode.js v22",
            "ContainerHealthy",
            ("ExitCode1", "Container failed with: Error: Cannot find 'x'"),
        ),
        (
            "BundleMissing",
            "apply it again",
            "ContainerHealthy",
            ("ContainerMissing", f'Unable to fetch image "{BUNDLE}": apply it again'),
        ),
        (
            "ProgressDeadlineExceeded",
            "Initial scale was never achieved",
            "ResourcesAvailable",
            ("ProgressDeadlineExceeded", "Initial scale was never achieved"),
        ),
    ],
)
async def test_failures(cluster, reason, message, type_, expected):
    """A worker that cannot start is told in Knative's words, and in Ready too."""
    await cluster.apply(revision())
    await cluster.report(
        "scales", "default/r", report(cluster, healthy=False, reason=reason, message=message)
    )
    found = await cluster.until_condition(REVISION, "r", type_, status="False")
    ready = await cluster.until_condition(REVISION, "r", "Ready", status="False")

    assert (found["reason"], found["message"]) == expected
    assert (ready["reason"], ready["message"]) == expected


def events(cluster):
    """(type, reason, message) of the Events about Revisions."""
    found = cluster.plane.store.list(named("Event"), "default")
    return {(each["type"], each["reason"], each["message"]) for each in found
            if each["involvedObject"]["kind"] == "Revision"}


async def test_events(cluster):
    """Becoming ready is an Event, and so is each new reason why it is not well, in its last line."""
    ready = ("Normal", "RevisionReady", "Revision becomes ready upon all resources being ready")
    crash = ("Warning", "ExitCode3", "Container failed with: ValueError: no such model")
    await cluster.apply(revision())
    await cluster.report("scales", "default/r", report(cluster, healthy=True, actual=1))
    await cluster.until(lambda: events(cluster) == {ready})

    traceback = "Traceback\n  File x\nValueError: no such model\n"
    for actual in (0, 1):  # the second report says the same of its health
        await cluster.report("scales", "default/r", report(
            cluster, healthy=False, reason="ExitCode3", message=traceback, actual=actual))
        await cluster.until(lambda actual=actual: status(cluster).get("actualReplicas") == actual)
    await cluster.until(lambda: events(cluster) == {ready, crash})
    [found] = [each for each in cluster.plane.store.list(named("Event"), "default")
               if each["reason"] == "ExitCode3"]
    assert found["count"] == 1


async def test_log_url(cluster):
    """Where somebody collects lines, the Revision says where to read its own."""
    await cluster.apply(revision())
    await cluster.until_condition(REVISION, "r", "Ready", status="Unknown")
    assert "logUrl" not in cluster.get(REVISION, "r")["status"]
    await cluster.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: config-observability, namespace: "
                        "knative-serving}, data: {logging.revision-url-template: "
                        "'http://logs.example.com/?revisionUID=${REVISION_UID}'}}")
    uid = resource.uid(cluster.get(REVISION, "r"))
    await cluster.until(lambda: cluster.get(REVISION, "r")["status"].get(
        "logUrl") == f"http://logs.example.com/?revisionUID={uid}")
    await cluster.delete("ConfigMap", "config-observability", "knative-serving")
    await cluster.until(lambda: "logUrl" not in cluster.get(REVISION, "r")["status"])


async def test_images_of_all_containers(cluster):
    """What each image stands for is told of sidecars and init containers, too, and stays that."""
    await cluster.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: config-features, namespace: "
                        "knative-serving}, data: {kubernetes.podspec-init-containers: enabled}}")
    mapping = ("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: clarion-images, namespace: "
               "knative-serving}}, data: {{a: 'example.com/side = func://side@sha256:{0}'}}}}")
    await cluster.apply(mapping.format(DIGEST))
    await cluster.apply(f"""
apiVersion: serving.knative.dev/v1
kind: Revision
metadata: {{name: r}}
spec:
  containers: [{{name: main, image: '{BUNDLE}', ports: [{{}}]}}, {{name: side, image: 'example.com/side:1'}}]
  initContainers: [{{name: first, image: example.com/init}}]
""")
    expected = [{"name": "main", "imageDigest": BUNDLE},
                {"name": "side", "imageDigest": f"func://side@sha256:{DIGEST}"}]
    await cluster.until(lambda: cluster.get(REVISION, "r").get("status", {}).get(
        "containerStatuses") == expected)
    status = cluster.get(REVISION, "r")["status"]
    assert status["initContainerStatuses"] == [{"name": "first", "imageDigest": "example.com/init"}]

    await cluster.apply(mapping.format("cd" * 32))
    await cluster.report("scales", "default/r", report(cluster, healthy=True, actual=1))
    await cluster.until_condition(REVISION, "r", "Ready", status="True")
    assert cluster.get(REVISION, "r")["status"]["containerStatuses"] == expected


async def test_report_of_another_uid(cluster):
    """What is reported of an earlier revision of that name counts for nothing."""
    await cluster.apply(revision())
    await cluster.report("scales", "default/r", report(cluster, uid="other", healthy=True))
    await cluster.until_projected("revisions", lambda table: "default/r" in table)
    await cluster.until_condition(REVISION, "r", "Ready", status="Unknown", reason="Deploying")


async def test_values_from_elsewhere(cluster):
    """Variables come from ConfigMaps and Secrets; one that is not there yet is told, and waited for."""
    fields = (
        "envFrom: [{prefix: P_, configMapRef: {name: all}}, {secretRef: {name: none, optional: "
        "true}}], env: ["
        "{name: ONE, valueFrom: {configMapKeyRef: {name: all, key: one}}}, "
        "{name: HIDDEN, valueFrom: {secretKeyRef: {name: hidden, key: k}}}, "
        "{name: NOT, valueFrom: {configMapKeyRef: {name: all, key: none, optional: true}}}]"
    )
    async def lacks(why):
        await cluster.until_projected("revisions", lambda table: table.get("default/r", {}).get("lacks") == (
            why and ["CreateContainerConfigError", why]))

    await cluster.apply(revision(fields))
    await lacks('configmap "all" not found')
    await cluster.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: all}, data: {two: '2'}}")
    secret = base64.b64encode(b"s3cret").decode()
    await cluster.apply(
        f"{{apiVersion: v1, kind: Secret, metadata: {{name: hidden}}, data: {{k: {secret}}}}}"
    )
    await lacks("couldn't find key one in ConfigMap all")
    await cluster.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: all}, data: {one: '1'}}")
    table = await cluster.until_projected("revisions", lambda table: table["default/r"]["env"])

    assert table["default/r"]["lacks"] is None
    assert table["default/r"]["env"] == {"P_one": "1", "ONE": "1", "HIDDEN": "s3cret"}


async def test_is_immutable(cluster):
    """The spec of a Revision never changes; its labels may."""
    await cluster.apply(revision())
    await cluster.until_projected("revisions", lambda table: "default/r" in table)
    changed = cluster.get(REVISION, "r")
    changed["metadata"].pop("resourceVersion")
    changed["metadata"]["labels"] = {"serving.knative.dev/routingState": "reserve"}
    await cluster.plane.objects.update(changed)
    await cluster.until_projected("revisions", lambda table: table["default/r"]["reachable"] is False)

    changed = cluster.get(REVISION, "r")
    changed["metadata"].pop("resourceVersion")
    changed["spec"]["timeoutSeconds"] = 1
    with pytest.raises(Failure) as refused:
        await cluster.plane.objects.update(changed)
    assert str(refused.value) == (
        'admission webhook "validation.webhook.serving.knative.dev" denied the request: validation failed: '
        "Immutable fields changed (-old +new): spec\n{v1.RevisionSpec}.TimeoutSeconds:\n\t-: 300\n\t+: 1"
    )


async def test_delete(cluster):
    """With the Revision goes its record, and so its workers."""
    await cluster.apply(revision())
    await cluster.until_projected("revisions", lambda table: "default/r" in table)
    await cluster.delete(REVISION, "r")

    await cluster.until(lambda: cluster.get(REVISION, "r") is None)
    assert await cluster.projected("revisions") == {}


def test_label_wants_its_owner(admit):
    """A label that names a Configuration needs that Configuration as owner."""
    text = revision().replace("{name: r", "{labels: {serving.knative.dev/configuration: c}, name: r")

    assert admit(text)[1] == "missing field(s): metadata.labels.serving.knative.dev/configuration"
