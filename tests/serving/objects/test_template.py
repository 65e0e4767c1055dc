"""A revision's template: defaults and admission, through Services as people write them."""

import pytest

from eventing.control import resource

BARE = """
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: hello, annotations: SAID}
spec:
  template:
    metadata: META
    spec: {SPEC containers: [{image: busybox FIELDS}]}
"""


def service(fields="", spec="", meta="{}", said="{}"):
    """A Service, as YAML."""
    return (
        BARE.replace("FIELDS", f", {fields}" if fields else "")
        .replace("SPEC", f"{spec}, " if spec else "")
        .replace("META", meta)
        .replace("SAID", said)
    )


_SECURITY = "spec.template.spec.containers[0].securityContext"
INSECURE = (
    "Kubernetes default value is insecure, Knative may default this to secure in a future release: "
    f"{_SECURITY}.allowPrivilegeEscalation, {_SECURITY}.capabilities, {_SECURITY}.runAsNonRoot, "
    f"{_SECURITY}.seccompProfile"
)


@pytest.mark.parametrize(("text", "features", "left"), [
    (service(), {}, {"allowPrivilegeEscalation", "capabilities", "runAsNonRoot", "seccompProfile"}),
    (service("securityContext: {runAsNonRoot: true, capabilities: {drop: [ALL]}}"), {},
     {"allowPrivilegeEscalation", "seccompProfile"}),
    (service("securityContext: {runAsNonRoot: true, capabilities: {drop: []}, "
             "allowPrivilegeEscalation: false, seccompProfile: {type: RuntimeDefault}}"), {}, set()),
    (service("securityContext: {runAsNonRoot: true, capabilities: {drop: [all]}, seccompProfile: {}}"), {},
     {"allowPrivilegeEscalation", "capabilities", "seccompProfile"}),
    (service(spec="securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}"),
     {"kubernetes.podspec-securitycontext": "enabled"}, {"allowPrivilegeEscalation", "capabilities"}),
    (service(), {"secure-pod-defaults": "AllowRootBounded"}, set()),
    (service().replace("busybox", "func://hello"), {}, set()),
])
def test_insecure_defaults(admit, text, features, left):
    """What Kubernetes allows a container that does not say is warned of; a function is no container."""
    _, errors, warnings = admit(text, configs={"config-features": features})

    assert errors == ""
    said = " ".join(warnings)
    assert {name for name in ("allowPrivilegeEscalation", "capabilities", "runAsNonRoot", "seccompProfile")
            if f"{_SECURITY}.{name}" in said} == left


def template_spec(made):
    """The spec of the template."""
    return made["spec"]["template"]["spec"]


def test_defaults(admit):
    """A Service of an image alone gets Knative's defaults, and all traffic to its latest revision."""
    made, errors, warnings = admit(service())

    assert (errors, warnings) == ("", [INSECURE])
    assert template_spec(made) == {
        "timeoutSeconds": 300,
        "containerConcurrency": 0,
        "enableServiceLinks": False,
        "containers": [
            {
                "image": "busybox",
                "name": "user-container",
                "resources": {},
                "readinessProbe": {"tcpSocket": {}, "successThreshold": 1},
            }
        ],
    }
    assert made["spec"]["traffic"] == [{"percent": 100, "latestRevision": True}]
    assert resource.annotations(made) == {
        "serving.knative.dev/creator": "system:anonymous",
        "serving.knative.dev/lastModifier": "system:anonymous",
    }


def test_defaults_twice(admit):
    """Defaulting what was defaulted changes nothing."""
    once, _, _ = admit(service())
    twice, errors, _ = admit(once, old=once)

    assert (twice, errors) == (once, "")


def test_config_defaults(admit):
    """ConfigMap config-defaults decides over times, concurrency, names and resources."""
    data = {
        "revision-timeout-seconds": "100",
        "revision-idle-timeout-seconds": "20",
        "revision-response-start-timeout-seconds": "30",
        "container-concurrency": "5",
        "container-name-template": "c-{{- .Name }}",
        "revision-memory-limit": "200M",
        "revision-cpu-request": "400m",
        "enable-service-links": "default",
    }
    made, _, warnings = admit(
        service("resources: {limits: {memory: 1Gi}}"), configs={"config-defaults": data}
    )
    spec = template_spec(made)

    assert warnings == [INSECURE]
    assert spec["timeoutSeconds"] == 100
    assert spec["idleTimeoutSeconds"] == 20
    assert spec["responseStartTimeoutSeconds"] == 30
    assert spec["containerConcurrency"] == 5
    assert "enableServiceLinks" not in spec
    assert spec["containers"][0]["name"] == "c-hello"
    assert spec["containers"][0]["resources"] == {"limits": {"memory": "1Gi"}, "requests": {"cpu": "400m"}}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"revision-timeout-seconds": "x"}, 'failed to parse "revision-timeout-seconds"'),
        (
            {"revision-timeout-seconds": "700"},
            "revision-timeout-seconds (700) cannot be greater than max-revision-timeout-seconds (600)",
        ),
        ({"container-name-template": "{{.Namespace}}-c"}, "{{.Namespace}} is not understood"),
        ({"container-name-template": "{{.Name"}, "{{.Name is not understood: the action has no end, }}"),
        ({"init-container-name-template": "a-{{.Name}}-{{"}, "{{ is not understood: the action has no end"),
        ({"container-name-template": ""}, "makes '', which is no DNS-1123 label"),
        ({"container-name-template": "UP"}, "makes 'UP', which is no DNS-1123 label"),
        ({"init-container-name-template": "{{.Name}}}}"}, "makes 'example}}', which is no DNS-1123 label"),
        ({"container-concurrency-max-limit": "0"}, "container-concurrency-max-limit"),
        ({"container-concurrency": "1001"}, "expected 0 <= 1001 <= 1000: container-concurrency"),
        (
            {"revision-idle-timeout-seconds": "400"},
            "revision-idle-timeout-seconds (400) cannot be greater than revision-timeout-seconds (300)",
        ),
    ],
)
def test_unreadable_config_defaults(admit, data, expected):
    """A config-defaults that makes no sense is a warning, and the built-in defaults are used."""
    made, errors, warnings = admit(service(), configs={"config-defaults": data})

    assert errors == ""
    warnings.remove(INSECURE)
    assert len(warnings) == 1
    assert expected in warnings[0]
    assert template_spec(made)["timeoutSeconds"] == 300


def test_names_of_many_containers(admit):
    """Containers without a name get one that is free; only the one with a port gets a readiness probe."""
    made, errors, _ = admit(
        service().replace(
            "[{image: busybox }]",
            "[{image: a, name: user-container-0}, {image: b}, {image: c, ports: [{containerPort: 80}]}]",
        )
    )
    containers = template_spec(made)["containers"]

    assert errors == ""
    assert [c["name"] for c in containers] == ["user-container-0", "user-container-1", "user-container-2"]
    assert ["readinessProbe" in c for c in containers] == [False, False, True]


def test_probe_and_mount_defaults(admit):
    """A probe with a period gets Kubernetes' numbers; what cannot be written is mounted read-only."""
    made, errors, _ = admit(
        service(
            "readinessProbe: {periodSeconds: 5}, livenessProbe: {grpc: {port: 1}}, "
            "volumeMounts: [{name: s, mountPath: /s}, {name: e, mountPath: /e}]",
            "volumes: [{name: s, secret: {secretName: a}}, {name: e, emptyDir: {}}]",
        )
    )
    found = template_spec(made)["containers"][0]

    assert errors == ""
    assert found["readinessProbe"] == {
        "periodSeconds": 5,
        "tcpSocket": {},
        "successThreshold": 1,
        "failureThreshold": 3,
        "timeoutSeconds": 1,
    }
    assert found["livenessProbe"]["grpc"]["service"] == ""
    assert [mount.get("readOnly") for mount in found["volumeMounts"]] == [True, None]


def test_secure_pod_defaults(admit):
    """The feature secure-pod-defaults fills in the restricted profile."""
    configs = {"config-features": {"secure-pod-defaults": "Enabled"}}
    made, errors, _ = admit(service("ports: [{containerPort: 80}]"), configs=configs)

    assert errors == ""
    assert template_spec(made)["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "seccompProfile": {"type": "RuntimeDefault"},
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        "runAsNonRoot": True,
    }


@pytest.mark.parametrize(
    ("spec", "meta", "said", "expected"),
    [
        ("timeoutSeconds: 600", "{}", "{}", ""),
        ("timeoutSeconds: 601", "{}", "{}", "expected 0 <= 601 <= 600: spec.template.spec.timeoutSeconds"),
        ("timeoutSeconds: -1", "{}", "{}", "expected 0 <= -1 <= 600: spec.template.spec.timeoutSeconds"),
        (
            "containerConcurrency: 1001",
            "{}",
            "{}",
            "expected 0 <= 1001 <= 1000: spec.template.spec.containerConcurrency",
        ),
        ("nodeName: a", "{}", "{}", "must not set the field(s): spec.template.spec.nodeName"),
        ("", "{name: hello-v1}", "{}", ""),
        (
            "",
            "{name: v1}",
            "{}",
            'invalid value: "v1" must have prefix "hello-": spec.template.metadata.name',
        ),
        (
            "",
            '{annotations: {autoscaling.knative.dev/min-scale: "x"}}',
            "{}",
            "invalid value: x: spec.template.metadata.annotations.autoscaling.knative.dev/min-scale",
        ),
        (
            "",
            "{annotations: {serving.knative.dev/progress-deadline: 1500ms}}",
            "{}",
            (
                "progress-deadline=1500ms is not at second precision: "
                "spec.template.metadata.annotations.serving.knative.dev/progress-deadline"
            ),
        ),
        (
            "",
            "{annotations: {queue.sidecar.serving.knative.dev/cpu-resource-limit: lots}}",
            "{}",
            (
                "invalid value: lots: "
                "spec.template.metadata.annotations[queue.sidecar.serving.knative.dev/cpu-resource-limit]"
            ),
        ),
        (
            "",
            "{annotations: {networking.knative.dev/http-protocl: x, networking.knative.dev/httpOption: x}}",
            "{}",
            'invalid key name "networking.knative.dev/http-protocl": spec.template.metadata.annotations',
        ),
        (
            "",
            "{}",
            '{autoscaling.knative.dev/min-scale: "1"}',
            (
                'invalid key name "autoscaling.knative.dev/min-scale": metadata.annotations\n'
                'autoscaling annotations must be put under "spec.template.metadata.annotations" to work'
            ),
        ),
        (
            "",
            "{}",
            "{serving.knative.dev/rollout-duration: -1s}",
            (
                "rollout-duration=-1s must be positive: "
                "metadata.annotations.serving.knative.dev/rollout-duration"
            ),
        ),
        (
            "",
            "{}",
            "{serving.knative.dev/rolloutDuration: soon}",
            "invalid value: soon: metadata.annotations.serving.knative.dev/rolloutDuration",
        ),
    ],
)
def test_validation(admit, spec, meta, said, expected):
    """What is wrong is said in Knative's words, with the path from the Service."""
    assert admit(service(spec=spec, meta=meta, said=said))[1] == expected


@pytest.mark.parametrize("spelling", ["resource-percentage", "resourcePercentage"])
def test_queue_percentage(admit, spelling):
    """The deprecated percentage of queue-proxy warns, and has bounds."""
    key = f"queue.sidecar.serving.knative.dev/{spelling}"
    _, errors, warnings = admit(service(meta=f'{{annotations: {{{key}: "0.01"}}}}'))

    assert errors == f"expected 0.1 <= 0.01 <= 100: spec.template.metadata.annotations[{key}]"
    assert warnings[0].startswith("Queue proxy resource percentage annotation is deprecated.")


def test_zero_concurrency_may_be_forbidden(admit):
    """Where config-defaults says so, no limit is not allowed."""
    configs = {"config-defaults": {"allow-container-concurrency-zero": "false"}}

    assert admit(service(spec="containerConcurrency: 0"), configs=configs)[1] == (
        "expected 1 <= 0 <= 1000: spec.template.spec.containerConcurrency"
    )


@pytest.mark.parametrize("name", ["Hello", "1a", "a.b", "a" * 64])
def test_name(admit, name):
    """A Service's name becomes part of a host name, so it is a DNS label."""
    errors = admit(service().replace("name: hello", f'name: "{name}"'))[1]

    assert errors.startswith("not a DNS 1035 label: [")
    assert errors.endswith("]: metadata.name")


def test_own_name_has_to_change(admit):
    """A template with a name of its own cannot change without it; the same again is fine, defaults or not."""
    old, _, _ = admit(service(meta="{name: hello-v1}"))

    made, errors, _ = admit(service(meta="{name: hello-v1}"), old=old)
    assert (made["spec"], errors) == (old["spec"], "")
    assert admit(old, old=old)[1] == ""
    configs = {"config-defaults": {"container-concurrency": "7"}}
    assert admit(old, old=old, configs=configs)[1] == ""
    assert admit(service(meta="{name: hello-v1}"), old=old, configs=configs)[1].startswith(
        "Saw the following changes")
    changed = resource.clone(old)
    template_spec(changed)["timeoutSeconds"] = 10
    assert admit(changed, old=old)[1] == (
        "Saw the following changes without a name change (-old +new): spec.template.metadata.name\n"
        "{*v1.RevisionTemplateSpec}.Spec.TimeoutSeconds:\n\t-: 300\n\t+: 10"
    )
    changed["spec"]["template"]["metadata"]["name"] = "hello-v2"
    assert admit(changed, old=old)[1] == ""


def test_creator_cannot_be_forged(admit):
    """Who created it stays; leaving it out does not erase it; a new spec is somebody's."""
    old, _, _ = admit(service())
    forged = resource.clone(old)
    forged["metadata"]["annotations"]["serving.knative.dev/creator"] = "me"
    assert admit(forged, old=old)[1] == (
        "annotation value is immutable: metadata.annotations.serving.knative.dev/creator"
    )
    left_out = resource.clone(old)
    del left_out["metadata"]["annotations"]
    made, errors, _ = admit(left_out, old=old)
    assert (resource.annotations(made), errors) == (resource.annotations(old), "")


def test_what_is_not_done_here_is_told(admit):
    """Whoever applies a template hears what of it nobody does anything about here, by path."""
    text = service(
        "ports: [{containerPort: 9001, name: h2c}], volumeMounts: [{name: v, mountPath: /v}], "
        "startupProbe: {tcpSocket: {}}, livenessProbe: {exec: {command: [a]}}, "
        "readinessProbe: {httpGet: {port: 8080}}",
        "volumes: [{name: v, emptyDir: {}}], initContainers: [{image: a}]",
        "{annotations: {autoscaling.knative.dev/class: my.autoscaler}}").replace(
            "]}\n", ", {image: sidecar}]}\n")
    _, errors, warnings = admit(text, configs={"config-features": {
        "kubernetes.podspec-init-containers": "enabled"}})

    assert errors == ""
    said = [each.removeprefix("spec.template.spec.") for each in warnings if not each.startswith("Kube")]
    assert said == [
        ("autoscaling.knative.dev/class: no my.autoscaler here, the KPA scales by requests at once, or a "
         "second"),
        "initContainers[0]: init containers are not run here",
        "containers[0].ports[0].name: h2c is not spoken here, requests come in HTTP/1.1",
        ("containers[0].readinessProbe.httpGet.port: a worker is asked at its serving port here, and at 8080 "
         'only with a command and autoscaling.knative.dev/max-scale: "1"'),
        "containers[1]: only the container that has a port is run here",
    ]
    plain = "ports: [{containerPort: 9001}], livenessProbe: {httpGet: {path: /, port: 9001}}"
    for little in ("20Mi", "1"):
        assert [each for each in admit(service(f'resources: {{limits: {{memory: "{little}"}}}}'))[2]
                if not each.startswith("Kube")] == [
            (f"spec.template.spec.containers[0].resources.limits.memory: {little} is little: a function "
             "needs 40Mi at least here, and a program may end, or never listen, for want of memory")]
    plain += ", resources: {limits: {memory: 40Mi}}"
    assert [each for each in admit(service(plain))[2] if not each.startswith("Kube")] == []
