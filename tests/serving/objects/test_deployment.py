"""Deployment, the kind: admission in Kubernetes' words, its record, and what the role's report becomes."""

import pytest

from eventing.control.failure import Failure
from eventing.control.lifecycle import LABEL_WRONG

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: beat}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: beat}}}}
  template:
    metadata: {{labels: {{app: beat}}, annotations: {{note: hi}}}}
    spec: {pod}
"""
NAME = "Deployment.apps"
VARIABLE = "{{containers: [{{name: c, command: [a], env: [{{name: A, valueFrom: {{{}}}}}]}}]}}"
POD = "{containers: [{name: c, command: [sleep, '9']}]}"


def text(pod=POD, replicas=1):
    """A Deployment as YAML."""
    return DEPLOYMENT.format(pod=pod, replicas=replicas)


def volumed(volume, mounted="v"):
    """A Deployment that mounts one volume."""
    mounts = f"volumeMounts: [{{name: '{mounted}', mountPath: /m}}]"
    return text(pod=f"{{volumes: [{{{volume}}}], containers: [{{name: c, command: [a], {mounts}}}]}}")


@pytest.mark.parametrize(("made", "wrong"), [
    (text(pod="{containers: [{name: c, command: [a], resources: {limits: {memory: -5Mi}}}]}"),
     ("spec.template.spec.containers[0].resources.limits[memory]: Invalid value: -5Mi: "
      "must be greater than or equal to 0")),
    (text(pod="{containers: [{name: c, image: a, volumeMounts: [{name: v, mountPath: /m}]}]}"),
     'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "v"'),
    (volumed("name: ../..", "../.."),
     f'spec.template.spec.volumes[0].name: Invalid value: "../..": {LABEL_WRONG}'),
    (text(pod="{volumes: [{secret: {secretName: s}}], containers: [{name: c, image: a}]}"),
     "spec.template.spec.volumes[0].name: Required value"),
    (volumed("name: v}, {name: v, emptyDir: {}", "v"),
     'spec.template.spec.volumes[1].name: Duplicate value: "v"'),
    (volumed("name: v, configMap: {name: c, items: [{key: a}]}"),
     "spec.template.spec.volumes[0].configMap.items[0].path: Required value"),
    (volumed("name: v, projected: {sources: [{secret: {name: c, items: [{path: a}]}}]}"),
     "spec.template.spec.volumes[0].projected.sources[0].secret.items[0].key: Required value"),
    (volumed("name: v, projected: {sources: [{downwardAPI: {items: [{fieldRef: {fieldPath: a}}]}}]}"),
     "spec.template.spec.volumes[0].projected.sources[0].downwardAPI.items[0].path: Required value"),
    (volumed("name: v, secret: {secretName: s, defaultMode: 512}"),
     ("spec.template.spec.volumes[0].secret.defaultMode: Invalid value: 512: must be a number between 0 and "
      "0777 (octal), both inclusive")),
    (text(pod="{terminationGracePeriodSeconds: -1, containers: [{name: c, image: a}]}"),
     ("spec.template.spec.terminationGracePeriodSeconds: Invalid value: -1: "
      "must be greater than or equal to 0")),
    (text(replicas=-1), "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
    (text(pod="{}"), "spec.template.spec.containers: Required value"),
    (text(pod="{containers: [{name: c}]}"), "spec.template.spec.containers[0].image: Required value"),
    (text(pod="{containers: [{name: c, image: a, env: [{value: a}]}]}"),
     "spec.template.spec.containers[0].env[0].name: Required value"),
    (text(pod="{initContainers: [{image: a}], containers: [{name: c, image: a}]}"),
     "spec.template.spec.initContainers[0].name: Required value"),
    (text(pod="{restartPolicy: Never, containers: [{name: c, image: a}]}"),
     'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'),
    (text().replace("matchLabels: {app: beat}", "matchLabels: {app: other}"),
     ("spec.template.metadata.labels: Invalid value: {'app': 'beat'}: `selector` does not match template "
     "`labels`")),
    (text().replace("{matchLabels: {app: beat}}", "{}"), "spec.selector: Required value"),
    (text().replace("selector:", "strategy: {type: Slowly}\n  selector:"),
     'spec.strategy.type: Unsupported value: "Slowly": supported values: "Recreate", "RollingUpdate"'),
])
def test_refused(admit, made, wrong):
    """What Kubernetes refuses is refused in its words."""
    with pytest.raises(Failure) as refusal:
        admit(made)

    assert str(refusal.value) == f'Deployment.apps "beat" is invalid: {wrong}'
    assert refusal.value.status == 422


def test_wrong_type(admit):
    """A field of the wrong type is named with its path."""
    with pytest.raises(ValueError, match=r"Go struct field spec\.template\.spec\.containers\[0\]\.command"):
        admit(text(pod="{containers: [{name: c, command: sleep 9}]}"))
    with pytest.raises(ValueError, match=r"Go struct field spec\.template\.spec\.terminationGracePeriodSec"):
        admit(text(pod="{terminationGracePeriodSeconds: '30', containers: [{name: c, image: a}]}"))
    with pytest.raises(ValueError, match=r"env\[0\]\.valueFrom\.fieldRef of type object"):
        admit(text(pod=VARIABLE.format("fieldRef: metadata.name")))


def test_defaults(admit):
    """Kubernetes' defaults are filled in; what nothing is done about is warned of."""
    pod = "{containers: [{name: c, command: [a], readinessProbe: {tcpSocket: {port: 1}}}]}"

    made, _, warnings = admit(text(pod=pod).replace("replicas: 1\n", "paused: false\n"))
    nulls, _, _ = admit(text(pod="{terminationGracePeriodSeconds: null, containers: [{name: c, image: a}]}"))

    assert made["spec"]["replicas"] == 1
    assert made["spec"]["strategy"] == {"type": "RollingUpdate",
                                        "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
    assert made["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 30
    assert nulls["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 30
    assert warnings == ["readinessProbe of container c: nothing is done about it here"]


async def test_record(cluster):
    """The serving role is told all that it needs, with variables from a Secret and from the object itself."""
    await cluster.apply("""
        {apiVersion: v1, kind: Secret, metadata: {name: keys}, stringData: {token: t0}}
        """)
    await cluster.apply(text(replicas=2, pod="""
      terminationGracePeriodSeconds: 5
      containers:
        - name: c
          image: registry.example/beat
          command: [beat, --fast]
          args: [now]
          workingDir: sub
          env:
            - {name: A, value: a}
            - {name: TOKEN, valueFrom: {secretKeyRef: {name: keys, key: token}}}
            - {name: NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
            - {name: NOTE, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['note']"}}}
            - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
          securityContext: {runAsNonRoot: true}
          resources: {limits: {memory: 64Mi, cpu: 500m}}"""))

    table = await cluster.until_projected("deployments", lambda table: "default/beat" in table)

    record = table["default/beat"]
    uid = cluster.get(NAME, "beat")["metadata"]["uid"]
    assert (record["uid"], record["generation"], record["replicas"], record["owner"]) == (uid, 1, 2, "")
    assert record["pod"] == {
        "uid": uid, "container": "c", "image": "registry.example/beat", "bundle": None,
        "command": ["beat", "--fast"], "args": ["now"], "named": ["POD"], "memory_bytes": 64 << 20,
        "cpu": 0.5, "env": {"A": "a", "TOKEN": "t0", "NAMESPACE": "default", "NOTE": "hi"},
        "user": None, "group": None, "non_root": True, "working_dir": "sub", "grace_s": 5,
        "annotations": {"note": "hi"}, "volumes": None, "listens": False}


@pytest.mark.parametrize(("pod", "reason", "message"), [
    ("{containers: [{name: c, image: registry.example/beat:1}]}", "ContainerMissing",
     ('container "c" names no command, and an image is not unpacked here: write command: [python3, main.py], '
     "with image: func://./DIR for the folder that it is to run in (instead of registry.example/beat:1), and "
     "apply it with `clarion apply -f FILE`")),
    ("{containers: [{name: c, image: 'func://./beat', command: [a]}]}", "ContainerMissing",
     ('Unable to fetch image "func://./beat": the folder has no bundle yet: apply the file with `clarion '
     "apply -f FILE`, which makes one of it and pins its digest")),
    ("{containers: [{name: c, command: [a]}, {name: d, image: b}]}", "TooManyContainers",
     "one container of a pod can be run here, and this has c, d: write a Deployment for each"),
    (VARIABLE.format("configMapKeyRef: {name: m, key: k}"), "CreateContainerConfigError",
     'configmap "m" not found'),
    (VARIABLE.format("fieldRef: {fieldPath: status.podIP}"), "CreateContainerConfigError",
     "fieldRef status.podIP is not known here: write a value"),
])
async def test_cannot_run(cluster, pod, reason, message):
    """What cannot be run here is not Available, with what to write instead."""
    await cluster.apply(text(pod=pod))

    found = await cluster.until_condition(NAME, "beat", "Available", status="False", reason=reason)

    assert found["message"] == message


async def test_status(cluster):
    """Counts and conditions follow the role's report; of another template nothing is up to date."""
    await cluster.apply(text(replicas=2))
    uid = cluster.get(NAME, "beat")["metadata"]["uid"]
    report = {"uid": uid, "generation": 1, "replicas": 2, "updated": 2, "ready": 1,
              "reason": "CrashLoopBackOff", "message": "back-off 1s"}
    await cluster.until_condition(NAME, "beat", "Available", status="Unknown", reason="DeploymentNotStarted")

    await cluster.report("deployment-states", "default/beat", {**report, "uid": "other", "ready": 2})
    await cluster.report("deployment-states", "default/beat", report)
    await cluster.until_condition(NAME, "beat", "Available", status="False", reason="CrashLoopBackOff")
    status = cluster.get(NAME, "beat")["status"]
    assert (status["replicas"], status["readyReplicas"], status["unavailableReplicas"]) == (2, 1, 1)

    await cluster.report("deployment-states", "default/beat", {**report, "ready": 2, "reason": ""})
    await cluster.until_condition(NAME, "beat", "Available", status="True", reason="MinimumReplicasAvailable")
    await cluster.until_condition(NAME, "beat", "Progressing", status="True", reason="NewReplicaSetAvailable")
    assert "unavailableReplicas" not in cluster.get(NAME, "beat")["status"]
    assert cluster.get(NAME, "beat")["status"]["updatedReplicas"] == 2

    await cluster.report("deployment-states", "default/beat", {**report, "ready": 2, "generation": 0})
    await cluster.until(lambda: "updatedReplicas" not in cluster.get(NAME, "beat")["status"])
    await cluster.until_condition(NAME, "beat", "Progressing", status="True", reason="ReplicaSetUpdated")

    await cluster.delete(NAME, "beat")
    await cluster.until_projected("deployments", lambda table: not table)


@pytest.mark.parametrize(("pod", "reason"), [
    (VARIABLE.format("configMapKeyRef: {name: m, key: k}"), "CreateContainerConfigError"),
    (("{volumes: [{name: v, configMap: {name: m}}], "
      "containers: [{name: c, command: [a], volumeMounts: [{name: v, mountPath: /m}]}]}"), "FailedMount"),
])
async def test_what_was_there_and_is_missing(cluster, pod, reason):
    """What runs goes on when something is missing that it had; it can be stopped all the same."""
    await cluster.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: m}, data: {k: v}}")
    uid = (await cluster.apply(text(pod=pod)))["metadata"]["uid"]
    table = await cluster.until_projected("deployments", lambda table: "default/beat" in table)
    await cluster.report("deployment-states", "default/beat", {
        "uid": uid, "generation": 1, "replicas": 1, "updated": 1, "ready": 1, "reason": "", "message": ""})
    await cluster.until_condition(NAME, "beat", "Available", status="True")

    await cluster.delete("ConfigMap", "m")
    await cluster.until_condition(NAME, "beat", "Progressing", status="False", reason=reason)
    await cluster.until_condition(NAME, "beat", "Available", status="True")
    assert await cluster.projected("deployments") == table
    assert cluster.get(NAME, "beat")["status"]["readyReplicas"] == 1

    await cluster.apply(text(pod=pod, replicas=0))
    await cluster.until_projected("deployments", lambda table: not table)
