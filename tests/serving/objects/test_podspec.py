"""The pod of a revision: what may be set, and what is wrong with it, row by row."""

import pytest
import yaml

from eventing.control.field import render
from serving.objects import podspec
from serving.objects.settings import Features

SECRET = "volumes: [{name: v, secret: {secretName: s}}]"


def complaint(pod, **features):
    """What is wrong with a pod; `init_containers="Enabled"` stands for a feature of the podspec."""
    flags = {f"kubernetes.podspec-{key.replace('_', '-')}": value for key, value in features.items()}
    flags["multi-container"] = features.get("multi_container", "Enabled")
    flags["multi-container-probing"] = features.get("multi_container_probing", "Disabled")
    return render(podspec.validate(yaml.safe_load(pod), Features(flags)))


def container(fields=""):
    """A pod of one container with *fields*."""
    return f"containers: [{{image: busybox{', ' if fields else ''}{fields}}}]"


POD = [
    ("containers: []", "missing field(s): containers"),
    (container(), ""),
    (f"{container()}\nserviceAccountName: a\nenableServiceLinks: true", ""),
    (f"{container()}\nautomountServiceAccountToken: false", ""),
    (
        f"{container()}\nautomountServiceAccountToken: true",
        "must not set the field(s): automountServiceAccountToken",
    ),
    (
        f"{container()}\nnodeSelector: {{a: b}}\nhostNetwork: true",
        "must not set the field(s): hostNetwork, nodeSelector",
    ),
    (f"{container()}\nserviceAccountName: a.b", ""),
    (
        f"{container()}\nserviceAccountName: A_b",
        ("invalid value: A_b: serviceAccountName\n"
         "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and "
         "must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation "
         "is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"),
    ),
    (
        f"{container()}\nsecurityContext: {{runAsUser: -1}}",
        ("expected 0 <= -1 <= 2147483647: securityContext.runAsUser\n"
         "must not set the field(s): securityContext, securityContext.runAsUser"),
    ),
    (f"{container()}\nrestartPolicy: Never", "must not set the field(s): restartPolicy"),
    (
        f"{container()}\ninitContainers: [{{image: a}}]",
        (
            "must not set the field(s): initContainers\n"
            "pod spec support for init-containers is off, but found 1 init containers: "
        ),
    ),
    ("containers: [{image: a, name: x, ports: [{containerPort: 1}]}, {image: b, name: y}]", ""),
    ("containers: [{image: a, name: x}, {image: b, name: y}]", "missing field(s): containers[*].ports"),
    (
        "containers: [{image: a, ports: [{containerPort: 1}, {containerPort: 2}]}]",
        (
            "more than one container port is set: containers[*].ports\n"
            "Only a single port is allowed across all containers"
        ),
    ),
    (
        "containers: [{image: a, name: x, ports: [{containerPort: 1}]}, {image: b, name: x}]",
        'duplicate container name "x": containers[1].name',
    ),
    (
        (
            "containers: [{image: a, name: x, ports: [{containerPort: 1}]}, {image: b, name: y, "
            "readinessProbe: {exec: {command: [a]}}}]"
        ),
        "must not set the field(s): containers[1].readinessProbe.exec",
    ),
]

CONTAINER = [
    ("command: [a], args: [b], workingDir: /, imagePullPolicy: Always, terminationMessagePolicy: File", ""),
    ("lifecycle: {preStop: {}}, tty: true", "must not set the field(s): HERE.lifecycle, HERE.tty"),
    ("name: queue-proxy", '"queue-proxy" is a reserved container name: HERE.name'),
    ("terminationMessagePolicy: Shout", "invalid value: Shout: HERE.terminationMessagePolicy"),
    ("env: [{name: A, value: b}, {name: B, valueFrom: {configMapKeyRef: {name: c, key: d}}}]", ""),
    ("env: [{value: b}]", "missing field(s): HERE.env[0].name"),
    (
        "env: [{name: PORT, value: '1'}, {name: K_SERVICE, value: x}]",
        (
            '"K_SERVICE" is a reserved environment variable: HERE.env[1].name\n'
            '"PORT" is a reserved environment variable: HERE.env[0].name'
        ),
    ),
    (
        "env: [{name: A, valueFrom: {fieldRef: {fieldPath: x}}}]",
        "must not set the field(s): HERE.env[0].valueFrom.fieldRef",
    ),
    ("envFrom: [{configMapRef: {name: a}}]", ""),
    (
        "envFrom: [{}]",
        "expected exactly one, got neither: HERE.envFrom[0].configMapRef, HERE.envFrom[0].secretRef",
    ),
    (
        "envFrom: [{configMapRef: {name: a}, secretRef: {name: b}}]",
        "expected exactly one, got both: HERE.envFrom[0].configMapRef, HERE.envFrom[0].secretRef",
    ),
    ("ports: [{containerPort: 80, name: h2c, protocol: TCP}]", ""),
    (
        "ports: [{containerPort: 8012}]",
        (
            "invalid value: 8012 is a reserved port: HERE.ports.containerPort\n"
            "8012 is a reserved port, please use a different value"
        ),
    ),
    ("ports: [{containerPort: 65536}]", "expected 0 <= 65536 <= 65535: HERE.ports.containerPort"),
    ("ports: [{containerPort: 80, protocol: UDP}]", "invalid value: UDP: HERE.ports.protocol"),
    ("ports: [{containerPort: 80, hostPort: 80}]", "must not set the field(s): HERE.ports.hostPort"),
    (
        "ports: [{name: web}]",
        ("Port name web is not allowed: HERE.ports\nName must be empty, or one of: 'h2c', 'http1'"),
    ),
    ("resources: {limits: {memory: 64Mi}, requests: {cpu: 1}}", ""),
    (
        "resources: {limits: {cpu: '-1', memory: -5Mi}, requests: {cpu: 0}}",
        (
            "invalid value: -1: HERE.resources.limits[cpu]\nmust be greater than or equal to 0\n"
            "invalid value: -5Mi: HERE.resources.limits[memory]\nmust be greater than or equal to 0"
        ),
    ),
    ("resources: {claims: [a]}", "must not set the field(s): HERE.resources.claims"),
    ("securityContext: {runAsUser: 1000, capabilities: {drop: [ALL]}, privileged: false}", ""),
    ("securityContext: {privileged: true}", "must not set the field(s): HERE.securityContext.privileged"),
    (
        "securityContext: {capabilities: {add: [NET_ADMIN]}}",
        "must not set the field(s): HERE.securityContext.capabilities.add",
    ),
    (
        "securityContext: {runAsUser: -1, runAsGroup: 2147483648}",
        (
            "expected 0 <= -1 <= 2147483647: HERE.securityContext.runAsUser\n"
            "expected 0 <= 2147483648 <= 2147483647: HERE.securityContext.runAsGroup"
        ),
    ),
]

PROBES = [
    ("readinessProbe: {httpGet: {path: /, port: 80}, successThreshold: 1}", ""),
    (
        (
            "readinessProbe: {tcpSocket: {}, successThreshold: 1, periodSeconds: 1, timeoutSeconds: 1, "
            "failureThreshold: 3}"
        ),
        "",
    ),
    (
        "livenessProbe: {}",
        (
            "expected exactly one, got neither: HERE.livenessProbe.exec, HERE.livenessProbe.grpc, "
            "HERE.livenessProbe.httpGet, HERE.livenessProbe.tcpSocket"
        ),
    ),
    (
        "startupProbe: {exec: {command: [a]}, grpc: {port: 1}}",
        "expected exactly one, got both: HERE.startupProbe.exec, HERE.startupProbe.gRPC",
    ),
    (
        "readinessProbe: {httpGet: {port: other}, successThreshold: 1}",
        "invalid value: other: HERE.readinessProbe.httpGet.port\nProbe port must match container port",
    ),
    (
        "readinessProbe: {tcpSocket: {}, successThreshold: 0, initialDelaySeconds: -1, periodSeconds: -1}",
        (
            "expected 0 <= -1 <= 2147483647: HERE.readinessProbe.initialDelaySeconds, "
            "HERE.readinessProbe.periodSeconds\n"
            "expected 1 <= 0 <= 2147483647: HERE.readinessProbe.failureThreshold, "
            "HERE.readinessProbe.successThreshold, "
            "HERE.readinessProbe.timeoutSeconds"
        ),
    ),
    (
        "livenessProbe: {tcpSocket: {}, initialDelaySeconds: -1, timeoutSeconds: -3, periodSeconds: -1}",
        ("expected 0 <= -1 <= 2147483647: HERE.livenessProbe.initialDelaySeconds, "
         "HERE.livenessProbe.periodSeconds\n"
         "expected 0 <= -3 <= 2147483647: HERE.livenessProbe.timeoutSeconds"),
    ),
    (
        "startupProbe: {tcpSocket: {}, failureThreshold: -2, successThreshold: 2}",
        ("expected 0 <= -2 <= 2147483647: HERE.startupProbe.failureThreshold\n"
         "invalid value: 2: HERE.startupProbe.successThreshold\nmust be 1"),
    ),
    (
        "livenessProbe: {tcpSocket: {}, terminationGracePeriodSeconds: 0, periodSeconds: 2147483648}",
        ("expected 0 <= 2147483648 <= 2147483647: HERE.livenessProbe.periodSeconds\n"
         "expected 1 <= 0 <= 2147483647: HERE.livenessProbe.terminationGracePeriodSeconds"),
    ),
    ("livenessProbe: {tcpSocket: {}, periodSeconds: 0, successThreshold: 1}", ""),
    (
        "livenessProbe: {tcpSocket: {port: 65536}}, startupProbe: {grpc: {port: -1}}",
        ("expected 0 <= -1 <= 65535: HERE.startupProbe.grpc.port\n"
         "expected 0 <= 65536 <= 65535: HERE.livenessProbe.tcpSocket.port"),
    ),
    (
        "readinessProbe: {tcpSocket: {}, successThreshold: 1, failureThreshold: 3, timeoutSeconds: 1}",
        (
            "failureThreshold is disallowed when periodSeconds is zero: "
            "HERE.readinessProbe.failureThreshold\n"
            "timeoutSeconds is disallowed when periodSeconds is zero: HERE.readinessProbe.timeoutSeconds"
        ),
    ),
]

VOLUMES = [
    (SECRET, "[{name: v, mountPath: /a, readOnly: true}]", ""),
    (SECRET, "[]", 'volume with name "v" not mounted: volumes[0].name'),
    (
        "volumes: []",
        "[{name: v, mountPath: /a, readOnly: true}]",
        "volumeMount has no matching volume: MOUNTS[0].name",
    ),
    (
        SECRET,
        "[{name: v, mountPath: /a}]",
        "volume mount should be readOnly for this type of volume: MOUNTS[0].readOnly",
    ),
    (
        SECRET,
        "[{name: v, mountPath: /dev/, readOnly: true}]",
        'mountPath "/dev" is a reserved path: MOUNTS[0].mountPath',
    ),
    (SECRET, "[{name: v, mountPath: a, readOnly: true}]", "invalid value: a: MOUNTS[0].mountPath"),
    (SECRET, "[{name: v, readOnly: true}]", "missing field(s): MOUNTS[0].mountPath"),
    (
        SECRET,
        "[{name: v, mountPath: /a, readOnly: true}, {name: v, mountPath: /a, readOnly: true}]",
        'invalid value: "/a" must be unique: MOUNTS[1].mountPath',
    ),
    ("volumes: [{name: v, emptyDir: {}}]", "[{name: v, mountPath: /a}]", ""),
    (
        "volumes: [{name: v, emptyDir: {medium: Tape, sizeLimit: '-1'}}]",
        "[{name: v, mountPath: /a}]",
        "invalid value: -1: volumes[0].emptyDir.sizeLimit\ninvalid value: Tape: volumes[0].emptyDir.medium",
    ),
    (
        "volumes: [{name: v, hostPath: {path: /}}]",
        "[{name: v, mountPath: /a, readOnly: true}]",
        (
            "HostPath volume support is disabled, but found HostPath volume v: volumes[0]\n"
            "must not set the field(s): volumes[0].hostPath"
        ),
    ),
    (
        "volumes: [{name: v, persistentVolumeClaim: {claimName: c}}]",
        "[{name: v, mountPath: /a}]",
        (
            "Persistent volume claim support is disabled, but found persistent volume claim c: volumes[0]\n"
            "Persistent volume write support is disabled, but found persistent volume claim c that is not "
            "read-only: volumes[0]\n"
            "must not set the field(s): volumes[0].persistentVolumeClaim"
        ),
    ),
    (
        "volumes: [{name: v, projected: {sources: [{downwardAPI: {items: [{path: a}, {fieldRef: {}}]}}]}}]",
        "[{name: v, mountPath: /a, readOnly: true}]",
        (
            "expected exactly one, got neither: volumes[0].projected[0].downwardAPI.items[0].fieldRef, "
            "volumes[0].projected[0].downwardAPI.items[0].resourceFieldRef\n"
            "missing field(s): volumes[0].projected[0].downwardAPI.items[1].path"
        ),
    ),
    (
        SECRET,
        "[{name: v, mountPath: /a, readOnly: true, mountPropagation: Bidirectional}]",
        (
            "Volume Mount Propagation support is disabled, but found volume mount v with mount propagation: "
            "MOUNTS[0]\n"
            "mount propagation should be set to None or HostToContainer: MOUNTS[0].mountPropagation\n"
            "must not set the field(s): MOUNTS[0].mountPropagation"
        ),
    ),
    (
        "volumes: [{name: v}]",
        "[{name: v, mountPath: /a, readOnly: true}]",
        (
            "expected exactly one, got neither: volumes[0].configMap, volumes[0].emptyDir, "
            "volumes[0].projected, "
            "volumes[0].secret"
        ),
    ),
    (
        "volumes: [{name: V_, secret: {items: [{key: a}]}}]",
        "[{name: V_, mountPath: /a, readOnly: true}]",
        "invalid value: V_: volumes[0].name\nmissing field(s): volumes[0].items[0].path",
    ),
    (
        "volumes: [{name: v, secret: {defaultMode: -1, items: [{key: a, path: a, mode: 512}]}}]",
        "[{name: v, mountPath: /a, readOnly: true}]",
        (
            "invalid value: -1: volumes[0].secret.defaultMode\n"
            "must be a number between 0 and 0777 (octal), both inclusive\n"
            "invalid value: 512: volumes[0].secret.items[0].mode\n"
            "must be a number between 0 and 0777 (octal), both inclusive"
        ),
    ),
    (
        "volumes: [{name: v, projected: {sources: [{}, {configMap: {}}]}}]",
        "[{name: v, mountPath: /a, readOnly: true}]",
        (
            "expected exactly one, got neither: volumes[0].projected[0].configMap, "
            "volumes[0].projected[0].downwardAPI, "
            "volumes[0].projected[0].secret, volumes[0].projected[0].serviceAccountToken\n"
            "missing field(s): volumes[0].projected[1].configMap.name"
        ),
    ),
]

IMAGES = [
    "busybox",
    "busybox:1.36",
    "ghcr.io/knative/helloworld-go:latest",
    "localhost:5000/a/b",
    "gcr.io/a/b@sha256:" + "0" * 64,
    "func://./price",
    "func://price@sha256:" + "0" * 64,
]


@pytest.mark.parametrize(("pod", "expected"), POD)
def test_pod(pod, expected):
    """Fields of a pod that Knative does not allow, and containers that do not go together."""
    assert complaint(pod) == expected


@pytest.mark.parametrize(("fields", "expected"), CONTAINER + PROBES)
def test_container(fields, expected):
    """Every field of a container has its rule and its words."""
    assert complaint(container(fields)) == expected.replace("HERE.", "containers[0].")


@pytest.mark.parametrize(("volumes", "mounts", "expected"), VOLUMES)
def test_volumes(volumes, mounts, expected):
    """Every volume is mounted and every mount has a volume, in places that may be."""
    pod = f"{container(f'volumeMounts: {mounts}')}\n{volumes}"

    assert complaint(pod) == expected.replace("MOUNTS", "containers[0].volumeMounts")


@pytest.mark.parametrize("image", IMAGES)
def test_image(image):
    """Images as registries have them, and bundles."""
    assert complaint(f"containers: [{{image: '{image}'}}]") == ""


@pytest.mark.parametrize("image", ["BUSYBOX", "a b", "a:b:c", "a@sha256:1", "ko://x"])
def test_no_image(image):
    """What cannot be an image is refused."""
    assert complaint(f"containers: [{{image: '{image}'}}]") == (
        f'Failed to parse image reference: containers[0].image\nimage: "{image}", error: could '
        f"not parse reference: "
        f"{image}"
    )


def test_image_is_wanted():
    """A container without an image is none."""
    assert complaint("containers: [{name: a}]") == "missing field(s): containers[0].image"
    assert complaint("containers: [{}]") == "missing field(s): containers[0]"


@pytest.mark.parametrize(
    ("features", "pod", "expected"),
    [
        ({"nodeselector": "Enabled"}, f"{container()}\nnodeSelector: {{a: b}}", ""),
        ({"nodeselector": "Allowed"}, f"{container()}\nnodeSelector: {{a: b}}", ""),
        (
            {"init_containers": "Enabled"},
            f"{container()}\ninitContainers: [{{image: a, env: [{{name: PORT}}]}}]",
            "",
        ),
        (
            {"init_containers": "Enabled"},
            f"{container()}\ninitContainers: [{{image: a, livenessProbe: {{exec: {{}}}}}}]",
            "field not allowed in an init container: initContainers[0].livenessProbe",
        ),
        (
            {"init_containers": "Enabled"},
            "containers: [{image: a, name: x}]\ninitContainers: [{image: a, name: x}]",
            'duplicate container name "x": initContainers[0].name',
        ),
        (
            {"securitycontext": "Allowed"},
            f"{container()}\nsecurityContext: {{runAsUser: 7, fsGroup: -1, supplementalGroups: [1, -2]}}",
            ("expected 0 <= -1 <= 2147483647: securityContext.fsGroup\n"
             "expected 0 <= -2 <= 2147483647: securityContext.supplementalGroups[1]"),
        ),
        (
            {"volumes_mount_propagation": "Enabled"},
            (f"{container('volumeMounts: [{name: v, mountPath: /a, mountPropagation: None}]')}\n"
             "volumes: [{name: v, emptyDir: {}}]"),
            "",
        ),
        (
            {"persistent_volume_claim": "Enabled"},
            (f"{container('volumeMounts: [{name: v, mountPath: /a}]')}\n"
             "volumes: [{name: v, persistentVolumeClaim: {claimName: c, readOnly: true}}]"),
            "volume is readOnly but volume mount is not: containers[0].volumeMounts[0].readOnly",
        ),
        ({"fieldref": "enabled"}, container("env: [{name: A, valueFrom: {fieldRef: {fieldPath: x}}}]"), ""),
        (
            {"multi_container": "Disabled"},
            "containers: [{image: a, ports: [{containerPort: 1}]}, {image: b}]",
            "multi-container is off, but found 2 containers: ",
        ),
        (
            {"multi_container_probing": "Enabled"},
            "containers: [{image: a, name: x, ports: [{}]}, {image: b, livenessProbe: {httpGet: {path: /}}}]",
            "invalid value: 0: containers[1].livenessProbe.httpGet.port\nProbe port must be specified",
        ),
    ],
)
def test_features(features, pod, expected):
    """What config-features allows is allowed."""
    assert complaint(pod, **features).startswith(expected)
