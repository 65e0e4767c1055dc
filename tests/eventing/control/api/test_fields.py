"""Fields, annotations and settings that nobody knows: what a sender hears, word for word."""

import contextlib
import re

import pytest
import yaml

import sources.ping
from eventing.control.failure import Failure
from eventing.control.kind import of

KINDS = (sources.ping,)  # imported for the kind; the others are registered by conftest

BROKER = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": "b"}}
TRIGGER_SPEC = {"broker": "b", "subscriber": {"uri": "http://127.0.0.1:9/"}}
DENIED = 'admission webhook "validation.webhook.eventing.knative.dev" denied the request: '
UNDECODABLE = DENIED + "decoding request failed: cannot decode incoming new object: "


def wish(kind, spec, **metadata):
    """An object of *kind*, say `Trigger.eventing.knative.dev/v1`, and the path of its collection."""
    name, _, api_version = kind.partition(".")
    if isinstance(spec, str):
        spec = yaml.safe_load(spec)
    plural = of(api_version, name).plural
    return (f"/apis/{api_version}/namespaces/default/{plural}",
            {"apiVersion": api_version, "kind": name, "metadata": {"name": "x", **metadata}, "spec": spec})


SERVICE = "Service.serving.knative.dev/v1"
TRIGGER = "Trigger.eventing.knative.dev/v1"
PING = "PingSource.sources.knative.dev/v1"
DEPLOYMENT = ("{selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, "
              "spec: {containers: [{name: c, image: i, command: [a]}]}}}")
POD = "{template: {spec: {containers: [{image: 'func://x', %s}]}}}"


def keys(value):
    """All keys in *value*, at any depth."""
    if isinstance(value, dict):
        return set(value).union(*(keys(member) for member in value.values()))
    return set().union(*map(keys, value)) if isinstance(value, list) else set()


def warnings(headers):
    """The texts of the Warning headers, which http.client joins."""
    return re.findall(r'299 - "((?:[^"\\]|\\.)*)"', headers.get("warning", ""))


@pytest.mark.parametrize(("kind", "spec", "told"), [
    pytest.param("Broker.eventing.knative.dev/v1", "{delivery: {retri: 3}, foo: 1}",
                 'json: unknown field "retri": spec.delivery.retri', id="a Broker's delivery"),
    pytest.param("Broker.eventing.knative.dev/v1", "{config: {kin: ConfigMap}}",
                 'json: unknown field "kin": spec.config.kin', id="a Broker's config"),
    pytest.param(TRIGGER, {**TRIGGER_SPEC, "delivery": {"retri": 3}},
                 'json: unknown field "retri": spec.delivery.retri', id="a Trigger's delivery"),
    pytest.param(TRIGGER, {**TRIGGER_SPEC, "subscriber": {"uri": "http://a/", "urii": 1}},
                 'json: unknown field "urii": spec.subscriber.urii', id="a subscriber"),
    pytest.param(TRIGGER, {**TRIGGER_SPEC, "sink": 1, "filters": [{"any": [{"not": {"glob": {}}}]}]},
                 'json: unknown field "glob": spec.filters[0].any[0].not.glob\n'
                 'json: unknown field "sink": spec.sink', id="a nested filter and the spec"),
])
async def test_refused(api, kind, spec, told):
    """Where Knative preserves unknown fields its decoder refuses them; the path says where, all are told."""
    path, sent = wish(kind, spec)
    for validation in ("Warn", "Ignore"):
        status, refused, _ = await api("POST", f"{path}?fieldValidation={validation}", sent)
        assert (status, refused["reason"]) == (400, "BadRequest")
        assert refused["message"] == UNDECODABLE + told
    assert (await api("GET", f"{path}/x"))[0] == 404


@pytest.mark.parametrize(("kind", "spec", "unknown", "left"), [
    pytest.param("Broker.eventing.knative.dev/v1", "{foo: 1}", ["spec.foo"], None, id="Broker"),
    pytest.param(PING, "{shedule: '@daily', sink: {uri: 'http://a/', ur: b}, ceOverrides: {extens: {}}}",
                 ["spec.shedule", "spec.sink.ur", "spec.ceOverrides.extens"],
                 {"schedule": "* * * * *", "sink": {"uri": "http://a/"}, "ceOverrides": {}}, id="PingSource"),
    pytest.param(SERVICE, POD % "imag: x, env: [{name: A, valu: 1}], ports: [{port: 1}]",
                 ["spec.template.spec.containers[0].imag", "spec.template.spec.containers[0].env[0].valu",
                  "spec.template.spec.containers[0].ports[0].port"], None, id="a container"),
])
async def test_left_out(api, kind, spec, unknown, left):
    """Elsewhere they are never stored: an error if Strict is asked for, else a warning, or nothing at all."""
    path, sent = wish(kind, spec)
    status, refused, _ = await api("POST", f"{path}?fieldValidation=Strict", sent)
    name = sent["kind"]
    listed = ", ".join(f'unknown field "{each}"' for each in unknown)
    assert (status, refused["reason"]) == (400, "BadRequest")
    version = sent["apiVersion"].rpartition("/")[2]
    assert refused["message"] == (f'{name} in version "{version}" cannot be handled as a {name}: '
                                  f"strict decoding error: {listed}")

    status, made, headers = await api("POST", path, sent)
    assert status == 201
    told = [text.replace('\\"', '"') for text in warnings(headers)]
    told = [text for text in told if text.startswith("unknown")]
    assert told == [f'unknown field "{each}"' for each in unknown]
    if left is not None:
        assert made["spec"] == left

    status, again, headers = await api("PUT", f"{path}/x?fieldValidation=Ignore", sent)
    assert (status, "unknown field" in headers.get("warning", "")) == (200, False)
    assert not {each.rpartition(".")[2] for each in unknown} & keys(again["spec"])


async def test_a_misspelt_template(api):
    """What was meant is missing then, and that is said, too."""
    path, sent = wish(SERVICE, "{tmplate: {spec: {}}}")
    _, strict, _ = await api("POST", path + "?fieldValidation=Strict", sent)
    _, lenient, _ = await api("POST", path, sent)

    assert strict["message"].endswith('strict decoding error: unknown field "spec.tmplate"')
    assert lenient["message"].endswith("validation failed: missing field(s): spec.template.spec.containers")


async def test_patch_and_metadata(api):
    """A patch is judged like a whole object; so is metadata, of ConfigMaps too."""
    path, sent = wish("Broker.eventing.knative.dev/v1", {})
    await api("POST", path, sent)
    merge = {"content_type": "application/merge-patch+json"}
    changes = {"spec": {"foo": 1}, "metadata": {"lables": {}}}
    _, refused, _ = await api("PATCH", f"{path}/x?fieldValidation=Strict", changes, **merge)
    _, patched, headers = await api("PATCH", f"{path}/x", changes, **merge)
    _, secret, _ = await api("POST", "/api/v1/namespaces/default/secrets?fieldValidation=Strict",
                             {"metadata": {"name": "s"}, "dat": {}})

    assert refused["message"].endswith('unknown field "metadata.lables", unknown field "spec.foo"')
    assert ("lables" in patched["metadata"], "foo" in patched["spec"]) == (False, False)
    assert len(warnings(headers)) == 2
    assert secret["message"].endswith('strict decoding error: unknown field "dat"')


async def test_a_kind_without_declared_fields_keeps_all(api):
    """A kind may leave its fields open."""
    path = "/apis/toys.knative.dev/v1/namespaces/default/blocks?fieldValidation=Strict"
    status, made, _ = await api("POST", path, {"metadata": {"name": "a"}, "spec": {"any": {"thing": 1}}})
    assert (status, made["spec"]) == (201, {"any": {"thing": 1}})


async def test_field_validation_is_one_of_three(api):
    """Kubernetes names the values that there are."""
    path, sent = wish("Broker.eventing.knative.dev/v1", {})
    status, refused, _ = await api("POST", f"{path}?fieldValidation=strict", sent)
    assert status == 400
    assert refused["message"] == ('fieldValidation: Unsupported value: "strict": supported values: "Ignore", '
                                  '"Strict", "Warn"')


async def test_what_was_stored_before_may_be_changed(api, plane):
    """An object with a field that an older version let in is no obstacle: its next change drops the field."""
    kind = of("eventing.knative.dev/v1", "Broker")
    path, sent = wish("Broker.eventing.knative.dev/v1", {})
    await api("POST", path, sent)
    is_stored = False
    while not is_stored:
        old = plane.store.get(kind, "default", "x")
        with contextlib.suppress(Failure):  # its reconciler was faster
            await plane.store.put(kind, {**old, "spec": {**old["spec"], "foo": 1}}, old)
            is_stored = True

    status, patched, _ = await api(
        "PATCH", f"{path}/x?fieldValidation=Strict", {"metadata": {"labels": {"a": "b"}}},
        content_type="application/merge-patch+json")

    assert (status, "foo" in patched["spec"]) == (200, False)


@pytest.mark.parametrize("validation", ["Strict", "Warn"])
async def test_many_and_strange_fields(api, validation):
    """Thousands of unknown fields with any names, and a nest of filters, break no header and no server."""
    path, sent = wish("Broker.eventing.knative.dev/v1", {"\r\nx: y\x00": 1, "füñ→": 2,
                                                         **{f"f{number}": 1 for number in range(5000)}})
    status, _, headers = await api("POST", f"{path}?fieldValidation={validation}", sent)
    assert status == (400 if validation == "Strict" else 201)
    assert "x" not in headers

    nest = {"exact": {"type": "a"}}
    for _ in range(900):
        nest = {"not": nest}
    path, sent = wish(TRIGGER, {**TRIGGER_SPEC, "filters": [nest]})
    status, refused, _ = await api("POST", f"{path}?fieldValidation={validation}", sent)
    assert (status, refused["message"].endswith("is nested more than 64 levels deep")) == (400, True)


@pytest.mark.parametrize(("kind", "spec", "place", "annotation", "told"), [
    pytest.param("Broker.eventing.knative.dev/v1", {}, "metadata", "clarion.dev/retension",
                 'unknown annotation "clarion.dev/retension" in metadata.annotations: did you mean '
                 "clarion.dev/retention? Known are clarion.dev/dedup-window, clarion.dev/partitions, "
                 "clarion.dev/retention", id="a typo on a Broker"),
    pytest.param(SERVICE, POD % "", "metadata", "clarion.dev/entry",
                 'unknown annotation "clarion.dev/entry" in metadata.annotations: it belongs in '
                 "spec.template.metadata.annotations", id="on a Service instead of its template"),
    pytest.param(SERVICE, POD % "", "template", "autoscaling.knative.dev/min-scal",
                 'unknown annotation "autoscaling.knative.dev/min-scal" in spec.template.metadata.'
                 "annotations: did you mean autoscaling.knative.dev/min-scale?", id="the autoscaler's"),
    pytest.param("Deployment.apps/v1", DEPLOYMENT, "metadata", "clarion.dev/speed",
                 'unknown annotation "clarion.dev/speed" in metadata.annotations: a Deployment has none '
                 "of clarion.dev there", id="where there is none"),
    pytest.param(TRIGGER, TRIGGER_SPEC, "metadata", "clarion.dev/partitions",
                 'unknown annotation "clarion.dev/partitions" in metadata.annotations: it is for Broker, '
                 "and means nothing on a Trigger", id="another kind's"),
    pytest.param("Broker.eventing.knative.dev/v1", {}, "metadata", "example.com/any", "", id="of others"),
    pytest.param(SERVICE, POD % "", "template", "autoscaling.knative.dev/maxScale", "", id="camel case"),
])
async def test_annotations(api, kind, spec, place, annotation, told):  # noqa: PLR0917  one case a row
    """An annotation of ours that means nothing is stored, with a warning that says which ones do."""
    path, sent = wish(kind, spec)
    home = sent if place == "metadata" else sent["spec"]["template"]
    home.setdefault("metadata", {})["annotations"] = {annotation: "1"}

    status, _, headers = await api("POST", path, sent)

    assert status == 201
    assert told in " ".join(warnings(headers)).replace('\\"', '"')
    assert bool(told) == ("unknown annotation" in headers.get("warning", ""))


@pytest.mark.parametrize(("name", "data", "wrong"), [
    ("serving/config-autoscaler", {"stable-window": "5s"},
     "stable-window = 5s, must be in [6s; 1h0m0s] range"),
    ("serving/config-autoscaler", {"max-scale": "x"},
     'failed to parse data: failed to parse "max-scale": strconv.ParseInt: parsing "x": invalid syntax'),
    ("serving/config-defaults", {"container-concurrency": "1001"},
     "expected 0 <= 1001 <= 1000: container-concurrency"),
    ("serving/config-defaults", {"revision-timeout-seconds": "5m"},
     'failed to parse "revision-timeout-seconds": strconv.ParseInt: parsing "5m": invalid syntax, was: 5m'),
    ("serving/config-defaults", {"revision-timeout-seconds": "900"},
     "revision-timeout-seconds (900) cannot be greater than max-revision-timeout-seconds (600)"),
    ("serving/config-defaults", {"enable-service-links": "maybe"},
     "enable-service-links = maybe, must be one of default, false, true"),
    ("serving/config-features", {"tag-header-based-routing": "on"},
     "tag-header-based-routing = on, must be one of allowed, disabled, enabled"),
    ("serving/config-gc", {"retain-since-create-time": "2 days"},
     'retain-since-create-time = 2 days, must be a duration, such as 48h, or "disabled"'),
    ("serving/config-gc", {"min-non-active-revisions": "-1"},
     "min-non-active-revisions = -1, must be a whole number, 0 or more"),
    ("serving/config-gc", {"min-non-active-revisions": "9", "max-non-active-revisions": "5"},
     "min-non-active-revisions(9) must be <= max-non-active-revisions(5)"),
    ("serving/config-network", {"default-external-scheme": "ftp"},
     "default-external-scheme = ftp, must be one of http, https"),
    ("serving/config-network", {"rollout-duration": "soon"},
     "rollout-duration = soon, must be whole seconds, 0 or more, or a duration such as 2m"),
    ("eventing/config-features", {"delivery-timeout": "yes"},
     "delivery-timeout = yes, must be one of allowed, disabled, enabled"),
    ("eventing/config-ping-defaults", {"data-max-size": "1Mi"},
     "data-max-size = 1Mi, must be a whole number of bytes, or -1 (no limit)"),
    ("eventing/config-br-defaults",
     {"default-br-config": "clusterDefault: {delivery: {retry: -1, retri: 2}}"},
     ("failed to parse default-br-config: invalid value: -1: clusterDefault.delivery.retry\n"
      "expected a whole number from 0 to 2147483647\n"
      'unknown field "retri": clusterDefault.delivery.retri')),
    ("eventing/config-br-defaults", {"default-br-config": "clusterDefault: ["},
     "config-br-defaults: default-br-config is no YAML: "),
])
async def test_settings_that_cannot_be_used(api, name, data, wrong):
    """The config webhook names the key, its value, and what is allowed; nothing is stored."""
    home, _, name = name.partition("/")
    path = f"/api/v1/namespaces/knative-{home}/configmaps"
    status, refused, _ = await api("POST", path, {"metadata": {"name": name}, "data": data})

    assert (status, refused["reason"]) == (400, "BadRequest")
    assert refused["message"].startswith(f'admission webhook "config.webhook.{home}.knative.dev" denied the '
                                         f"request: validation failed: {wrong}")
    assert (await api("GET", f"{path}/{name}"))[0] == 404


async def test_settings_that_nobody_reads(api):
    """A misspelt key is told; an example is none; other namespaces' ConfigMaps hold what they like."""
    path = "/api/v1/namespaces/knative-serving/configmaps"
    data = {"stable-windw": "60s", "_example": "stable-window: no"}
    status, _, headers = await api("POST", path, {"metadata": {"name": "config-autoscaler"}, "data": data})
    assert status == 201
    [told] = warnings(headers)
    assert told.replace('\\"', '"') == ('unknown key "stable-windw" in knative-serving/config-autoscaler: '
                                        "did you mean stable-window?")
    path = "/api/v1/namespaces/default/configmaps"
    data = {"stable-window": "x"}
    status, _, headers = await api("POST", path, {"metadata": {"name": "config-autoscaler"}, "data": data})
    assert (status, warnings(headers)) == (201, [])


async def test_openapi_has_the_fields(api):
    """The schema that clients read is drawn from the same declaration."""
    _, document, _ = await api("GET", "/openapi/v3/apis/eventing.knative.dev/v1")
    trigger = document["components"]["schemas"]["dev.knative.eventing.v1.Trigger"]["properties"]
    delivery = trigger["spec"]["properties"]["delivery"]
    assert delivery["properties"]["retry"] == {"type": "integer"}
    assert delivery["x-kubernetes-preserve-unknown-fields"] is True
