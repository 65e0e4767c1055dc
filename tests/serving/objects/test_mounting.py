"""What the volumes of a container are here, and what is said where something is missing."""

from base64 import b64decode, b64encode

import pytest
import yaml

from eventing.control import resource
from eventing.control.kind import named
from serving.objects import mounting, workload
from serving.objects.downward import About

HELD = {("ConfigMap", "c"): {"a": b"1", "b": b"\xff"}, ("Secret", "s"): {"k": b"x"}}
ABOUT = About("shop", "u1", {"labels": {"b": 'two "words"', "a": "1"}, "annotations": {"note": "hi"}})
REVISION = "Revision.serving.knative.dev"


def made(volume, mount="mountPath: /m", container=""):
    """The volumes of a container with one volume `v`, as YAML says it."""
    pod = yaml.safe_load(f"{{volumes: [{{name: v, {volume}}}]}}")
    found = yaml.safe_load(f"{{volumeMounts: [{{name: v, {mount}}}]{container}}}")
    return mounting.of(pod, found, ABOUT, lambda kind, name: HELD.get((kind, name)))


@pytest.mark.parametrize(("volume", "files"), [
    ("configMap: {name: c}", {"a": (b"1", 0o644), "b": (b"\xff", 0o644)}),
    ("secret: {secretName: s, defaultMode: 256}", {"k": (b"x", 0o400)}),
    ("configMap: {name: c, items: [{key: a, path: d/e, mode: 384}]}", {"d/e": (b"1", 0o600)}),
    ("configMap: {name: gone, optional: true}", {}),
    ("configMap: {name: c, optional: true, items: [{key: gone, path: x}, {key: a, path: y}]}",
     {"y": (b"1", 0o644)}),
    (("projected: {defaultMode: 288, sources: [{configMap: {name: c, items: [{key: a, path: a}]}}, "
      "{secret: {name: s}}, {downwardAPI: {items: [{path: n, fieldRef: {fieldPath: metadata.namespace}}, "
      "{path: l, fieldRef: {fieldPath: metadata.labels}}, "
      "{path: o, mode: 292, fieldRef: {fieldPath: \"metadata.annotations['note']\"}}]}}]}"),
     {"a": (b"1", 0o440), "k": (b"x", 0o440), "n": (b"shop", 0o440),
      "l": (b'a="1"\nb="two \\"words\\""', 0o440), "o": (b"hi", 0o444)}),
])
def test_files(volume, files):
    """Keys become files, with the modes that are asked for; what is optional may be missing."""
    found = made(volume)
    assert {path: (b64decode(file["data"]), file["mode"]) for path, file in found.files["v"].items()} == files
    assert found.record == {"mounts": [{"volume": "v", "path": "/m", "sub_path": "", "read_only": True}],
                            "scratch": {}}


@pytest.mark.parametrize(("volume", "size_bytes"), [
    ("emptyDir: {}", None), ("emptyDir: {sizeLimit: 1Mi}", None),
    ("emptyDir: {medium: Memory, sizeLimit: 1Mi}", 1 << 20), ("emptyDir: {medium: Memory}", 64 << 20),
])
def test_empty(volume, size_bytes):
    """One in memory is as big as it says, or as the container's memory."""
    found = made(volume, "mountPath: /m//x/, subPath: a", ", resources: {limits: {memory: 64Mi}}")
    memory = "Memory" in volume
    assert found.record == {"mounts": [{"volume": "v", "path": "/m/x", "sub_path": "a", "read_only": False}],
                            "scratch": {"v": {"memory": memory, "size_bytes": size_bytes}}}


SETUP = 'MountVolume.SetUp failed for volume "v" : '


@pytest.mark.parametrize(("volume", "mount", "said"), [
    ("configMap: {name: x}", "mountPath: /m", f'{SETUP}configmap "x" not found'),
    ("secret: {secretName: x}", "mountPath: /m", f'{SETUP}secret "x" not found'),
    ("configMap: {name: c, items: [{key: k, path: k}]}", "mountPath: /m",
     f"{SETUP}configmap references non-existent config key: k"),
    ("projected: {sources: [{secret: {name: s, items: [{key: q, path: q}]}}]}", "mountPath: /m",
     f"{SETUP}secret references non-existent secret key: q"),
    ("configMap: {name: c, items: [{key: a, path: ../a}]}", "mountPath: /m",
     f"{SETUP}path ../a: must be relative, and must not contain '..'"),
    ('configMap: {name: c, items: [{key: a, path: "a\\0"}]}', "mountPath: /m",
     f"{SETUP}a path must not contain NUL"),
    ("projected: {sources: [{serviceAccountToken: {path: t}}]}", "mountPath: /m",
     f"{SETUP}serviceAccountToken: there are none here, take it out"),
    ("projected: {sources: [{downwardAPI: {items: [{path: n, fieldRef: {fieldPath: metadata.name}}]}}]}",
     "mountPath: /m",
     f"{SETUP}downwardAPI: metadata.name is not known here: take it out, or put it into a ConfigMap"),
    ("emptyDir: {}", "mountPath: /m, subPath: a/../../b",
     "volume v: subPath: path a/../../b: must be relative, and must not contain '..'"),
    ("emptyDir: {}", "mountPath: /m/..", "mountPath /: must be absolute, and below the root"),
])
def test_missing(volume, mount, said):
    """What is not there is said as Kubernetes' kubelet says it, in one line."""
    with pytest.raises(workload.Missing) as missing:
        made(volume, mount)
    assert (missing.value.reason, missing.value.message) == ("FailedMount", said)


def test_what_is_not_mounted_here():
    """Other volumes are left out, as is one that nobody mounts."""
    assert made("hostPath: {path: /x}").record is None
    unserved = [{"hostPath": {}}, {"emptyDir": {"sizeLimit": "1Gi"}},
                {"emptyDir": {"sizeLimit": "1Gi", "medium": "Memory"}}]
    assert list(mounting.unserved({"volumes": unserved})) == [
        "volumes[0]: only configMap, secret, projected and emptyDir are mounted here",
        "volumes[1].emptyDir.sizeLimit: the disk is not limited here, medium: Memory is"]
    pod = {"volumes": [{"name": "v", "emptyDir": {}}]}
    assert mounting.of(pod, {}, ABOUT, lambda *_: None).record is None


WITH_VOLUME = """
apiVersion: serving.knative.dev/v1
kind: Revision
metadata: {name: r}
spec:
  volumes: [{name: v, configMap: {name: later}}]
  containers:
    - image: x
      command: [serve]
      volumeMounts: [{name: v, mountPath: /m}]
"""
CONFIG = "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: later}}, data: {{a: '{}'}}}}"


async def test_from_missing_to_changed(cluster):
    """Files come with their ConfigMap, change with it, and go with their object; what is missing is told."""
    uid = resource.uid(await cluster.apply(WITH_VOLUME))

    async def told(condition):
        return (await cluster.until_projected(
            "revisions", lambda table: "default/r" in table and condition(table["default/r"])))["default/r"]

    lacking = await told(lambda record: record["lacks"])
    assert lacking["lacks"] == ["FailedMount", f'{SETUP}configmap "later" not found']
    for content in ("1", "2"):
        await cluster.apply(CONFIG.format(content))
        data = b64encode(content.encode()).decode()
        await cluster.until_projected(
            "volumes", lambda table, data=data: table.get(uid) == {"v": {"a": {"data": data, "mode": 0o644}}})
        await told(lambda record: not record["lacks"] and "mounts" in record["volumes"])
    await cluster.delete("ConfigMap", "later")
    await told(lambda record: record["lacks"])
    assert uid in await cluster.projected("volumes")
    await cluster.delete(REVISION, "r")
    await cluster.until_projected("volumes", lambda table: uid not in table)


WITH_VARIABLES = """
apiVersion: serving.knative.dev/v1
kind: Revision
metadata: {name: r}
spec:
  volumes: [{name: v, configMap: {name: other}}]
  containers:
    - image: x
      command: [serve]
      envFrom: [{configMapRef: {name: later}}]
      volumeMounts: [{name: v, mountPath: /m}]
"""
LACKING = pytest.mark.parametrize(("revision", "reason", "why"), [
    (WITH_VOLUME, "FailedMount", f'{SETUP}configmap "later" not found'),
    (WITH_VARIABLES, "CreateContainerConfigError", 'configmap "later" not found')])


@LACKING
async def test_what_is_reported(cluster, revision, reason, why):
    """A worker that cannot have its volumes or variables is no fault of its code."""
    uid = resource.uid(await cluster.apply(revision))
    await cluster.report("scales", "default/r", {
        "uid": uid, "healthy": False, "reason": reason, "message": why, "desired": 1, "actual": 0,
        "active": "Unknown", "initialized": False})
    found = await cluster.until_condition(REVISION, "r", "ResourcesAvailable", status="False", reason=reason)
    assert why in str(found)


@LACKING
async def test_what_was_there_and_is_missing(cluster, revision, reason, why):
    """Workers that run keep what they have: an Event of the Revision says that, and its status goes on."""
    await cluster.apply(CONFIG.format("1"))
    await cluster.apply(CONFIG.format("1").replace("later", "other"))
    uid = resource.uid(await cluster.apply(revision))
    await cluster.until_projected("volumes", lambda table: uid in table)
    runs = {"uid": uid, "healthy": True, "reason": "", "message": "", "desired": 1, "actual": 1,
            "active": "True", "active_reason": "", "active_message": "", "initialized": True}
    await cluster.report("scales", "default/r", runs)
    await cluster.until_condition(REVISION, "r", "Ready", status="True")
    await cluster.delete("ConfigMap", "later")
    message = f"{why}; the workers that run keep what they have"
    await cluster.until(lambda: message in [
        event["message"] for event in cluster.plane.store.list(named("Event"), "default")
        if (event["type"], event["reason"]) == ("Warning", reason)])
    table = await cluster.until_projected("revisions", lambda table: table["default/r"]["lacks"])
    assert table["default/r"]["lacks"] == [reason, why]

    await cluster.report("scales", "default/r", {**runs, "desired": 0, "actual": 0})
    await cluster.until(lambda: cluster.get(REVISION, "r")["status"]["actualReplicas"] == 0)
    await cluster.until_condition(REVISION, "r", "Ready", status="True")
    await cluster.apply(CONFIG.format("1"))
    await cluster.until_projected("revisions", lambda table: not table["default/r"]["lacks"])


async def test_files_follow_without_the_variables(cluster):
    """A volume that is there follows its ConfigMap also while a variable's is missing."""
    await cluster.apply(CONFIG.format("1").replace("later", "other"))
    uid = resource.uid(await cluster.apply(WITH_VARIABLES))
    for text in ("1", "2"):
        await cluster.apply(CONFIG.format(text).replace("later", "other"))
        await cluster.until_projected(
            "volumes", lambda table, text=text: table.get(uid) == {"v": {"a": content(text)}})


DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: beat}}
spec:
  selector: {{matchLabels: {{app: beat}}}}
  template:
    metadata: {{labels: {{app: beat}}}}
    spec:
      volumes: [{{name: v, configMap: {{name: {}}}}}]
      containers: [{{name: c, command: [sleep, "9"], volumeMounts: [{{name: v, mountPath: /m}}]}}]
"""


def content(text):
    """A file of table `volumes`."""
    return {"data": b64encode(text.encode()).decode(), "mode": 0o644}


async def test_deployment(cluster):
    """Its processes are told where the files are, and not what they say: a change starts nothing anew."""
    await cluster.apply(CONFIG.format("1"))
    await cluster.apply(DEPLOYMENT.format("later"))
    table = await cluster.until_projected("deployments", lambda table: "default/beat" in table)
    before = table["default/beat"]
    assert before["pod"]["volumes"]["mounts"] == [
        {"volume": "v", "path": "/m", "sub_path": "", "read_only": True}]
    await cluster.apply(CONFIG.format("2"))
    await cluster.until_projected(
        "volumes", lambda table: table == {before["pod"]["uid"]: {"v": {"a": content("2")}}})
    assert (await cluster.projected("deployments"))["default/beat"] == before
    await cluster.delete("Deployment.apps", "beat")
    await cluster.until_projected("volumes", lambda table: not table)


async def test_a_deployment_that_names_another_config_map(cluster):
    """Its processes are started anew; those of before keep their files as long as there are any."""
    await cluster.apply(CONFIG.format("1"))
    await cluster.apply(CONFIG.format("2").replace("later", "newer"))
    uid = resource.uid(await cluster.apply(DEPLOYMENT.format("later")))
    old = (await cluster.until_projected("deployments", bool))["default/beat"]["pod"]["uid"]
    state = {"uid": uid, "generation": 1, "replicas": 1, "updated": 1, "ready": 1, "reason": "",
             "message": ""}
    await cluster.report("deployment-states", "default/beat", state)
    await cluster.until_condition("Deployment.apps", "beat", "Progressing", status="True",
                                  reason="NewReplicaSetAvailable")

    await cluster.apply(DEPLOYMENT.format("newer"))
    table = await cluster.until_projected(
        "deployments", lambda table: table["default/beat"]["pod"]["uid"] != old)
    new = table["default/beat"]["pod"]["uid"]
    both = {old: {"v": {"a": content("1")}}, new: {"v": {"a": content("2")}}}
    rolling = {**state, "generation": 2, "replicas": 2}
    await cluster.report("deployment-states", "default/beat", rolling)
    await cluster.until(lambda: cluster.get("Deployment.apps", "beat")["status"]["replicas"] == 2)
    assert await cluster.projected("volumes") == both
    await cluster.report("deployment-states", "default/beat", {**rolling, "replicas": 1})
    await cluster.until_projected("volumes", lambda table: table == {new: both[new]})
