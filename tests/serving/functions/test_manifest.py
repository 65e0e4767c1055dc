"""func.yaml, field by field, and the Service that comes of it."""

import pytest
import yaml

from eventing.errors import UsageError
from serving.functions import funcyaml, manifest


def read(text, *, is_instanced=False):
    """The function that a func.yaml with this text describes, in a folder `price`."""
    content = yaml.safe_load(text) if text else None
    return funcyaml.read(content, place="price/func.yaml", folder="price", is_instanced=is_instanced)


def use(text):
    """Make of it what can be made."""
    function = read(text)
    return manifest.service(function, {}), manifest.triggers(function)


def container(function, own=None):
    """The container of its Service."""
    return manifest.service(function, own or {})["spec"]["template"]["spec"]["containers"][0]


def test_without():
    """A folder without a func.yaml is a function of its name, called with events."""
    function = read("")
    service = manifest.service(function, {})

    assert (function.name, function.namespace, function.invoke) == ("price", None, "cloudevent")
    assert service["metadata"]["name"] == "price"
    assert service["metadata"]["labels"]["boson.dev/function"] == "true"
    assert container(function) == {"image": "func://."}
    assert manifest.triggers(function) == []


WHOLE = """
specVersion: 0.36.0
name: sentiment
runtime: python
namespace: default
created: 2025-09-20T16:25:54.767714524+02:00
invoke: cloudevent
build: {builder: s2i}
run:
  volumes:
    - {secret: s, path: /etc/s}
    - {configMap: c, path: /etc/c}
    - {persistentVolumeClaim: {claimName: disk, readOnly: true}, path: /disk}
    - {emptyDir: {medium: Memory, sizeLimit: 1Mi}, path: /scratch}
    - {emptyDir: {}, path: /more}
    - {secret: s, path: /etc/again}
  envs:
    - {name: A, value: text}
    - {name: B, value: '{{ env:HOME_TOWN }}'}
    - {name: C, value: '{{ secret:keys:api }}'}
    - {name: D, value: '{{configMap:settings:d}}'}
    - {value: '{{ secret:all }}'}
    - {value: '{{ configMap:all }}'}
deploy:
  namespace: shop
  annotations: {example.com/team: blue, clarion.dev/preload: json, autoscaling.knative.dev/window: 20s}
  labels: [{key: team, value: '{{ env:TEAM }}'}, {key: empty}]
  options:
    scale: {min: 1, max: 10, metric: concurrency, target: 75, utilization: 80.5}
    resources: {requests: {cpu: 100m}, limits: {cpu: 1, memory: 256Mi, concurrency: 5}}
  healthEndpoints: {liveness: /live}
  subscriptions: [{source: books, filters: {type: new-comment}}, {source: default}]
"""


def test_whole():
    """Every field that means something here arrives in the Service."""
    function = read(WHOLE)
    service = manifest.service(function, {"HOME_TOWN": "Ulm", "TEAM": "red"})
    template = service["spec"]["template"]

    assert (function.name, function.namespace) == ("sentiment", "shop")
    assert function.ignored == ["run.volumes[2].persistentVolumeClaim"]
    assert service["metadata"]["annotations"] == {
        "example.com/team": "blue", "function.knative.dev/deployer": "knative"}
    assert template["metadata"]["annotations"] == {
        "example.com/team": "blue", "function.knative.dev/deployer": "knative", "clarion.dev/preload": "json",
        "autoscaling.knative.dev/window": "20s", "autoscaling.knative.dev/min-scale": "1",
        "autoscaling.knative.dev/max-scale": "10", "autoscaling.knative.dev/metric": "concurrency",
        "autoscaling.knative.dev/target": "75.000000",
        "autoscaling.knative.dev/target-utilization-percentage": "80.500000"}
    assert service["metadata"]["labels"] == {
        "team": "red", "empty": "", "boson.dev/function": "true", "function.knative.dev/name": "sentiment",
        "function.knative.dev/runtime": "python"}
    assert template["spec"]["containerConcurrency"] == 5
    assert template["spec"]["volumes"] == [
        {"name": "secret-s", "secret": {"secretName": "s"}},
        {"name": "config-map-c", "configMap": {"name": "c"}},
        {"name": "empty-dir-3", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": "empty-dir-4", "emptyDir": {}}]
    assert template["spec"]["containers"] == [{
        "image": "func://.",
        "env": [{"name": "A", "value": "text"}, {"name": "B", "value": "Ulm"},
                {"name": "C", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "api"}}},
                {"name": "D", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "d"}}}],
        "envFrom": [{"secretRef": {"name": "all"}}, {"configMapRef": {"name": "all"}}],
        "volumeMounts": [
            {"name": "secret-s", "mountPath": "/etc/s"}, {"name": "config-map-c", "mountPath": "/etc/c"},
            {"name": "empty-dir-3", "mountPath": "/scratch"}, {"name": "empty-dir-4", "mountPath": "/more"},
            {"name": "secret-s", "mountPath": "/etc/again"}],
        "livenessProbe": {"httpGet": {"path": "/live"}},
        "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "256Mi"}}}]


def test_whole_is_admitted(admit):
    """The API takes what comes out."""
    import serving.kinds  # noqa: F401, PLC0415  registers Service

    service = manifest.service(read(WHOLE), {"HOME_TOWN": "Ulm", "TEAM": "red"})
    service["spec"]["template"]["spec"]["containers"][0]["image"] = f"func://x@sha256:{'0' * 64}"

    assert admit(service)[1] == ""


def test_triggers():
    """A subscription is a Trigger, named as func names it."""
    first, second = manifest.triggers(read(WHOLE))

    assert first["metadata"] == {"name": "sentiment-function-trigger-0"}
    assert first["spec"] == {
        "broker": "books", "filter": {"attributes": {"type": "new-comment"}},
        "subscriber": {"ref": {
            "apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "sentiment"}}}
    assert second["metadata"]["name"] == "sentiment-function-trigger-1"
    assert "filter" not in second["spec"]


def test_flat_layout():
    """The layout of before 0.35 says the same at the top."""
    function = read("""
        name: old
        envs: [{name: A, value: "1"}]
        volumes: [{secret: s, path: /s}]
        annotations: {a: b}
        options: {scale: {min: 2}}
        healthEndpoints: {readiness: /ok}
        """)

    assert container(function)["env"] == [{"name": "A", "value": "1"}]
    assert container(function)["volumeMounts"] == [{"name": "secret-s", "mountPath": "/s"}]
    assert container(function)["readinessProbe"] == {"httpGet": {"path": "/ok"}}
    template = manifest.service(function, {})["spec"]["template"]["metadata"]["annotations"]
    assert (template["a"], template["autoscaling.knative.dev/min-scale"]) == ("b", "2")
    assert function.invoke == "http"


def test_instanced_has_probes():
    """Knative's layout is asked at Knative's two paths, as func deploys it."""
    assert container(read("name: f", is_instanced=True)) == {
        "image": "func://.", "livenessProbe": {"httpGet": {"path": "/health/liveness"}},
        "readinessProbe": {"httpGet": {"path": "/health/readiness"}}}


@pytest.mark.parametrize(("text", "message"), [
    pytest.param("[1]", "it is a mapping of fields", id="no mapping"),
    pytest.param("name: 3", "name: it is text, not 3", id="wrong type"),
    pytest.param("runtime: node", "runtime: node needs an image", id="another language"),
    pytest.param("invoke: grpc", "invoke: grpc: it is http or cloudevent", id="invoke"),
    pytest.param("run: {envs: {A: b}}", "run.envs: it is a list, not {'A': 'b'}", id="envs is no list"),
    pytest.param("run: {envs: [{name: A}]}", "run.envs[0]: give it a name and a value", id="no value"),
    pytest.param("run: {envs: [{value: a}]}", "run.envs[0]: a: a name goes with", id="no name"),
    pytest.param("run: {envs: [{name: A, value: '{{ env:NOT_THERE }}'}]}",
                 "your environment has no NOT_THERE; export it first", id="unset"),
    pytest.param("run: {envs: [{name: A, value: '{{ vault:x }}'}]}", "it is env:NAME, secret:NAME[:KEY]",
                 id="another holder"),
    pytest.param("run: {envs: [{name: A, value: '{{ nonsense }}'}]}", "it is {{ env:NAME }}", id="nonsense"),
    pytest.param("run: {volumes: [s]}", "run.volumes[0]: give it a path and one of secret,", id="no volume"),
    pytest.param("run: {volumes: [{secret: s}]}", "run.volumes[0]: give it a path and", id="no path"),
    pytest.param("run: {volumes: [{path: /s}]}", "run.volumes[0]: give it a path and", id="of nothing"),
    pytest.param("run: {volumes: [{path: /s, secret: s, configMap: c}]}",
                 "run.volumes[0]: give it a path and one of", id="of two"),
    pytest.param("run: {volumes: [{path: /s, secret: {name: s}}]}",
                 "run.volumes[0]: secret: it is text, not {'name': 's'}", id="type of a volume"),
    pytest.param("run: {volumes: [{path: /s, emptyDir: true}]}",
                 "run.volumes[0]: emptyDir: it is a mapping, not True", id="emptyDir"),
    pytest.param("deploy: {labels: [{value: a}]}", "deploy.labels[0]: give it a key", id="label"),
    pytest.param("deploy: {subscriptions: [{filters: {}}]}", "deploy.subscriptions[0]: source", id="source"),
    pytest.param("deploy: {options: {scale: {min: few}}}", "deploy.options.scale.min: 'few' is no number",
                 id="scale"),
])
def test_refused(text, message):
    """What cannot be is named by file and field."""
    with pytest.raises(UsageError) as caught:
        use(text)
    assert str(caught.value).startswith("price/func.yaml: ")
    assert message in str(caught.value)
