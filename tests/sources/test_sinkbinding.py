"""SinkBinding: admission in Knative's words, and what it makes of Services and Deployments."""

import pytest

import sources.sinkbinding
from sources import injection

KIND = "SinkBinding.sources.knative.dev"
SERVICE = "Service.serving.knative.dev"
SINK = "http://sink.example/in"
BINDING = """
apiVersion: sources.knative.dev/v1
kind: SinkBinding
metadata: {{name: bind}}
spec:
  subject: {subject}
  sink: {sink}
  {more}
"""
BY_NAME = "{apiVersion: serving.knative.dev/v1, kind: Service, name: price}"
BY_LABEL = "{apiVersion: serving.knative.dev/v1, kind: Service, selector: {matchLabels: {app: shop}}}"
PRICE = """
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: price, labels: {app: shop}}
spec: {template: {spec: {containers: [{image: a, command: [price], env: [{name: A, value: a}]}]}}}
"""
BROKER = "{apiVersion: eventing.knative.dev/v1, kind: Broker, metadata: {name: default}}"
TO_BROKER = "{ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: default}}"


def binding(subject=BY_NAME, sink=f"{{uri: {SINK}}}", more=""):
    """A SinkBinding as YAML."""
    return BINDING.format(subject=subject, sink=sink, more=more)


def bound(cluster, name="price", kind=SERVICE):
    """Variables of a program's only container, by name."""
    [container] = cluster.get(kind, name)["spec"]["template"]["spec"]["containers"]
    return {variable["name"]: variable["value"] for variable in container.get("env", ())}


def test_registered():
    """The kind is there once the module is."""
    assert sources.sinkbinding.KIND.full_name == KIND


@pytest.mark.parametrize(("made", "message"), [
    (binding(), ""),
    (binding(subject=BY_LABEL), ""),
    (binding(subject="{}"),
     ("expected exactly one, got neither: spec.subject.name, spec.subject.selector\n"
     "missing field(s): spec.subject.apiVersion, spec.subject.kind")),
    (binding(subject="{apiVersion: v1, kind: A, name: a, selector: {}}"),
     "expected exactly one, got both: spec.subject.name, spec.subject.selector"),
    (binding(subject="{apiVersion: v1, kind: A, name: a, namespace: other}"),
     "invalid value: other: spec.subject.namespace"),
    (binding(sink="null"), "expected at least one, got none: spec.sink.ref, spec.sink.uri"),
    (binding(more="ceOverrides: {extensions: {x-y: a}}"),
     'invalid key name "x-y": spec.ceOverrides.extensions\nkeys are expected to be alphanumeric'),
    (binding(subject="{apiVersion: v1, kind: A, selector: {matchExpressions: [{key: a, operator: Like}]}}"),
     'invalid value: "Like" is not a valid label selector operator: spec.subject.selector'),
])
def test_admission(admit, made, message):
    """A SinkBinding is refused in the words that Knative uses, and not where Knative takes it."""
    assert admit(made)[1] == message


@pytest.mark.parametrize(("part", "value", "words"), [
    ("name", "A_B", "a lowercase RFC 1123 label must consist of"),
    ("kind", "a-b", "a valid C identifier must start with"),
    ("apiVersion", "a b", "name part must consist of"),
])
def test_names(admit, part, value, words):
    """Names that Kubernetes would refuse are refused with its reasons."""
    subject = {"apiVersion": "v1", "kind": "A", "name": "a", part: value}
    _, message, _ = admit(binding(subject=str(subject)))

    assert message.startswith(f"invalid value: {words}")
    assert message.endswith(f": spec.subject.{part}")


def test_variables():
    """K_CE_OVERRIDES is JSON, or empty; K_CA_CERTS is there if the sink has some."""
    assert injection.variables({"sink": {}}, SINK) == {"K_SINK": SINK, "K_CE_OVERRIDES": ""}
    assert injection.variables(
        {"sink": {"CACerts": "PEM"}, "ceOverrides": {"extensions": {"b": "2", "a": "ä"}}}, SINK) == {
        "K_SINK": SINK, "K_CA_CERTS": "PEM", "K_CE_OVERRIDES": '{"extensions":{"a":"ä","b":"2"}}'}


def test_every_container():
    """Init containers get the sink, too; what is no container, or no list, is left alone."""
    pod = {"initContainers": [{"env": [{"name": "K_SINK", "value": "old"}, {"name": "A"}]}, "wrong"],
           "containers": [{"env": "wrong"}, {}]}
    program = {"spec": {"template": {"spec": pod}}}

    injection.put(program, {"K_SINK": "new"})

    new = {"name": "K_SINK", "value": "new"}
    assert pod == {"initContainers": [{"env": [{"name": "A"}, new]}, "wrong"],
                   "containers": [{"env": "wrong"}, {"env": [new]}]}


async def test_service(cluster):
    """A Service gets the sink in a new Revision, and keeps it when applied again; the end takes it out."""
    await cluster.apply(PRICE)
    await cluster.until(lambda: cluster.get("Revision.serving.knative.dev", "price-00001"))
    await cluster.apply(binding(more="ceOverrides: {extensions: {room: a}}"))
    await cluster.until_condition(KIND, "bind", "Ready", status="True")

    expected = {"A": "a", "K_SINK": SINK, "K_CE_OVERRIDES": '{"extensions":{"room":"a"}}'}
    assert bound(cluster) == expected
    await cluster.until(lambda: cluster.get("Revision.serving.knative.dev", "price-00002"))
    await cluster.apply(PRICE)
    assert bound(cluster) == expected

    await cluster.delete(KIND, "bind")
    await cluster.until(lambda: cluster.get(KIND, "bind") is None)
    assert bound(cluster) == {"A": "a"}


async def test_by_label(cluster):
    """Programs with the label are bound when they come; one that says so is left out."""
    await cluster.apply(binding(subject=BY_LABEL))
    await cluster.until_condition(KIND, "bind", "Ready", status="True")

    await cluster.apply(PRICE)
    await cluster.apply(PRICE.replace("price", "other").replace("shop", "none"))
    await cluster.apply(PRICE.replace("price", "out").replace(
        "app: shop", 'app: shop, bindings.knative.dev/exclude: "true"'))

    assert [bound(cluster, name).get("K_SINK") for name in ("price", "other", "out")] == [SINK, None, None]


async def test_deployment_follows_its_sink(cluster):
    """A Deployment gets the sink once there is one, and its new address when that changes."""
    await cluster.apply("""
        {apiVersion: apps/v1, kind: Deployment, metadata: {name: beat}, spec: {
         selector: {matchLabels: {a: b}},
         template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, command: [beat]}]}}}}
        """)
    await cluster.apply(binding("{apiVersion: apps/v1, kind: Deployment, name: beat}", sink=TO_BROKER))
    await cluster.until_condition(KIND, "bind", "SinkProvided", status="False", reason="NotFound")
    assert bound(cluster, "beat", "Deployment.apps") == {}

    await cluster.apply(BROKER)
    await cluster.until_condition(KIND, "bind", "Ready", status="True")
    url = cluster.get(KIND, "bind")["status"]["sinkUri"]
    assert url.endswith("/default/default")
    assert bound(cluster, "beat", "Deployment.apps")["K_SINK"] == url

    await cluster.apply(binding("{apiVersion: apps/v1, kind: Deployment, name: beat}"))
    await cluster.until(lambda: bound(cluster, "beat", "Deployment.apps")["K_SINK"] == SINK)


async def test_sink_that_goes_away(cluster):
    """A program keeps the sink that it has while there is none, when it is applied once more, too."""
    await cluster.apply(BROKER)
    await cluster.apply(PRICE)
    await cluster.apply(binding(sink=TO_BROKER))
    await cluster.until_condition(KIND, "bind", "Ready", status="True")
    before = bound(cluster)

    await cluster.delete("Broker.eventing.knative.dev", "default")
    await cluster.until_condition(KIND, "bind", "Ready", status="False", reason="NotFound")
    await cluster.apply(PRICE)

    assert before["K_SINK"].endswith("/default/default")
    assert bound(cluster) == before

    await cluster.delete(KIND, "bind")
    await cluster.until(lambda: cluster.get(KIND, "bind") is None)
    assert bound(cluster) == {"A": "a"}


async def test_own_sink_without_any_other(cluster):
    """What a program says itself stays as it is where a SinkBinding has never had a sink."""
    await cluster.apply(PRICE)
    await cluster.apply(binding(sink=TO_BROKER))
    await cluster.until_condition(KIND, "bind", "Ready", status="False", reason="NotFound")

    await cluster.apply(PRICE.replace("env: [", "env: [{name: K_CE_OVERRIDES, value: own}, "))

    assert bound(cluster) == {"A": "a", "K_CE_OVERRIDES": "own"}


@pytest.mark.parametrize(("subject", "reason", "message"), [
    (BY_NAME, "SubjectMissing", 'services.serving.knative.dev "price" not found'),
    ("{apiVersion: batch/v1, kind: Job, name: price}", "SubjectUnavailable",
     "no Job (batch/v1) runs here; bind a Deployment (apps/v1) or a Service (serving.knative.dev/v1)"),
    ("{apiVersion: eventing.knative.dev/v1, kind: Broker, name: default}", "SubjectUnavailable",
     "a Broker has no containers that could be bound"),
])
async def test_no_subject(cluster, subject, reason, message):
    """Nothing to bind is told with its reason."""
    await cluster.apply(BROKER)
    await cluster.apply(binding(subject))

    found = await cluster.until_condition(KIND, "bind", "SinkBindingAvailable", status="False", reason=reason)

    assert found["message"] == message


async def test_subject_that_comes_later(cluster):
    """A program that was missing is bound when it appears, before anything of it runs."""
    await cluster.apply(binding())
    await cluster.until_condition(KIND, "bind", "Ready", status="False", reason="SubjectMissing")

    await cluster.apply(PRICE)

    assert bound(cluster)["K_SINK"] == SINK
    await cluster.until_condition(KIND, "bind", "Ready", status="True")


async def test_refused_by_the_subject(cluster):
    """A program that may not be changed so is BindingFailed with its words."""
    await cluster.apply(PRICE.replace("{template: {spec", "{template: {metadata: {name: price-one}, spec"))
    await cluster.until(lambda: cluster.get("Revision.serving.knative.dev", "price-one"))

    await cluster.apply(binding())

    found = await cluster.until_condition(KIND, "bind", "SinkBindingAvailable", status="False",
                                          reason="BindingFailed")
    assert "without a name change" in found["message"]
