"""A Route by itself, without a Service."""

from eventing.control import resource

GROUP = "serving.knative.dev"


async def test_route_by_itself(cluster, configuration, healthy):
    """A Route may point at a Configuration; when it goes, its host and its mark on the Revision go."""
    await cluster.apply(
        "{apiVersion: serving.knative.dev/v1, kind: Route, metadata: {name: r}, spec: {traffic: "
        "[{configurationName: c, percent: 100, tag: t}]}}"
    )
    missing = await cluster.until_condition(f"Route.{GROUP}", "r", "Ready", status="False")
    assert (missing["reason"], missing["message"]) == (
        "ConfigurationMissing",
        'Configuration "c" referenced in traffic not found.',
    )
    ingress = await cluster.until_condition(f"Route.{GROUP}", "r", "IngressReady", status="Unknown")
    assert (ingress["reason"], ingress["message"]) == (
        "IngressNotConfigured",
        "Ingress has not yet been reconciled.",
    )
    await cluster.apply(configuration())
    waiting = await cluster.until_condition(f"Route.{GROUP}", "r", "Ready", status="Unknown")
    assert waiting["message"] == 'Configuration "c" is waiting for a Revision to become ready.'
    why = f"Service default/r has no revision that is ready: {waiting['message']}"
    record = {"service": "default/r", "targets": [], "why": why}  # the host says why nobody answers there
    assert await cluster.projected("routes") == {"r.default.localhost": record}
    await healthy("c-00001")
    await cluster.until_condition(f"Route.{GROUP}", "r", "Ready", status="True")
    certificate = await cluster.until_condition(
        f"Route.{GROUP}", "r", "CertificateProvisioned", status="True"
    )
    assert (certificate["reason"], certificate["message"]) == (
        "TLSNotEnabled",
        "external-domain-tls is not enabled",
    )
    assert set(await cluster.projected("routes")) == {"r.default.localhost", "t-r.default.localhost"}
    revision = cluster.get(f"Revision.{GROUP}", "c-00001")
    assert resource.labels(revision)[f"{GROUP}/routingState"] == "active"

    await cluster.delete(f"Route.{GROUP}", "r")
    await cluster.until(lambda: cluster.get(f"Route.{GROUP}", "r") is None)
    assert await cluster.projected("routes") == {}
    revision = cluster.get(f"Revision.{GROUP}", "c-00001")
    assert resource.labels(revision)[f"{GROUP}/routingState"] == "reserve"


ROUTE = """
apiVersion: serving.knative.dev/v1
kind: Route
metadata: {{name: r, annotations: {annotations}, labels: {labels}}}
spec: {{traffic: [{{configurationName: c, percent: 100, tag: t}}]}}
"""


def route(annotations="{}", labels="{}"):
    """A Route to configuration c, as YAML."""
    return ROUTE.format(annotations=annotations, labels=labels)


def targets(routes, host="r.default.localhost"):
    """Percent by revision of one host."""
    return {each["revision"]: each["percent"] for each in routes.get(host, {"targets": ()})["targets"]}


async def test_a_domain_that_changes_before_anything_was_served(cluster):
    """The host that said why nobody answers goes with its domain, and with the Route."""
    await cluster.apply(route())
    await cluster.until_projected("routes", lambda routes: set(routes) == {"r.default.localhost"})
    await cluster.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: config-domain, namespace: "
                        "knative-serving}, data: {example.com: ''}}")
    await cluster.until_projected("routes", lambda routes: set(routes) == {"r.default.example.com"})
    await cluster.delete(f"Route.{GROUP}", "r")
    await cluster.until_projected("routes", lambda routes: not routes)


async def test_rollout(cluster, configuration, healthy):
    """A new latest revision gets 1 % first; the Route is not Ready until it has all."""
    await cluster.apply(configuration())
    await healthy("c-00001")
    await cluster.apply(route("{serving.knative.dev/rollout-duration: 1h}"))
    await cluster.until_condition(f"Route.{GROUP}", "r", "Ready", status="True")
    await cluster.apply(configuration(env="2"))
    await healthy("c-00002")
    rolling = await cluster.until_condition(f"Route.{GROUP}", "r", "Ready", status="Unknown")

    assert (rolling["reason"], rolling["message"]) == (
        "RolloutInProgress", "A gradual rollout of the latest revision(s) is in progress.")
    routes = await cluster.projected("routes")
    assert targets(routes) == {"default/c-00001": 99, "default/c-00002": 1}
    assert targets(routes, "t-r.default.localhost") == targets(routes)
    status = cluster.get(f"Route.{GROUP}", "r")["status"]
    url = f"http://t-r.default.localhost:{cluster.config.port}"
    assert status["traffic"] == [
        {"revisionName": "c-00001", "percent": 99, "latestRevision": False, "tag": "t", "url": url},
        {"revisionName": "c-00002", "percent": 1, "latestRevision": True, "tag": "t", "url": url}]
    first = cluster.get(f"Revision.{GROUP}", "c-00001")
    assert resource.labels(first)[f"{GROUP}/routingState"] == "active"

    await cluster.apply(route())
    await cluster.until_condition(f"Route.{GROUP}", "r", "Ready", status="True")
    assert targets(await cluster.projected("routes")) == {"default/c-00002": 100}
    assert "annotations" not in cluster.get(f"Route.{GROUP}", "r")["status"]


async def test_rollout_goes_on_by_itself(cluster, configuration, healthy):
    """Steps come when they are due; the duration may stand in config-network."""
    await cluster.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: config-network, namespace: "
                        "knative-serving}, data: {rollout-duration: '2'}}")
    await cluster.apply(configuration())
    await healthy("c-00001")
    await cluster.apply(route())
    await cluster.until_condition(f"Route.{GROUP}", "r", "Ready", status="True")
    await cluster.apply(configuration(env="2"))
    await healthy("c-00002")

    await cluster.until_projected("routes", lambda routes: targets(routes) == {"default/c-00002": 100})
    await cluster.until_condition(f"Route.{GROUP}", "r", "Ready", status="True")


async def test_cluster_local(cluster, configuration, healthy):
    """A Route that is for inner use has an inner name only; when it is opened, that goes."""
    await cluster.apply(configuration())
    await healthy("c-00001")
    await cluster.apply(route(labels="{networking.knative.dev/visibility: cluster-local}"))
    await cluster.until_condition(f"Route.{GROUP}", "r", "Ready", status="True")

    status = cluster.get(f"Route.{GROUP}", "r")["status"]
    assert status["url"] == status["address"]["url"] == "http://r.default.svc.cluster.local"
    routes = await cluster.projected("routes")
    assert {host: record["visibility"] for host, record in routes.items()} == {
        "r.default.svc.cluster.local": "cluster-local", "t-r.default.svc.cluster.local": "cluster-local"}

    await cluster.apply(route())
    await cluster.until_projected("routes", lambda routes: set(routes) == {
        "r.default.localhost", "t-r.default.localhost"})


async def test_a_tag_that_is_for_inner_use(cluster, configuration, healthy):
    """Such a tag has an inner name only, also by header, and the Route is open all the same."""
    await cluster.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: config-features, namespace: "
                        "knative-serving}, data: {tag-header-based-routing: enabled}}")
    await cluster.apply(configuration())
    await healthy("c-00001")
    await cluster.apply(route(annotations="{clarion.dev/cluster-local-tags: t}"))
    await cluster.until_condition(f"Route.{GROUP}", "r", "Ready", status="True")

    status = cluster.get(f"Route.{GROUP}", "r")["status"]
    assert [each["url"] for each in status["traffic"]] == ["http://t-r.default.svc.cluster.local"]
    assert status["url"] == f"http://r.default.localhost:{cluster.config.port}"
    routes = await cluster.projected("routes")
    assert {host: (record.get("visibility"), record["tags"]) for host, record in routes.items()} == {
        "r.default.localhost": (None, {}), "t-r.default.svc.cluster.local": ("cluster-local", {})}

    await cluster.apply(route())
    await cluster.until_projected("routes", lambda routes: set(routes) == {
        "r.default.localhost", "t-r.default.localhost"})


async def test_a_host_has_one_owner(cluster, configuration, healthy):
    """A Route called like the host of a tag waits until that goes, and takes nothing along when it goes."""
    await cluster.apply(configuration())
    await healthy("c-00001")
    await cluster.apply(route())
    await cluster.until_condition(f"Route.{GROUP}", "r", "Ready", status="True")
    other = route().replace("name: r", "name: t-r", 1).replace(", tag: t", "")
    await cluster.apply(other)
    waiting = await cluster.until_condition(f"Route.{GROUP}", "t-r", "Ready", status="False")
    assert (waiting["reason"], waiting["message"]) == (
        "NotOwned", 'There is an existing placeholder Service "t-r" that we do not own.')
    before = await cluster.projected("routes")
    assert before["t-r.default.localhost"]["service"] == "default/r"

    await cluster.delete(f"Route.{GROUP}", "t-r")
    await cluster.until(lambda: cluster.get(f"Route.{GROUP}", "t-r") is None)
    assert await cluster.projected("routes") == before
    await cluster.apply(other)
    await cluster.until_condition(f"Route.{GROUP}", "t-r", "Ready", status="False")
    await cluster.delete(f"Route.{GROUP}", "r")
    await cluster.until_condition(f"Route.{GROUP}", "t-r", "Ready", status="True")
    routes = await cluster.until_projected("routes", lambda routes: set(routes) == {"t-r.default.localhost"})
    assert routes["t-r.default.localhost"]["service"] == "default/t-r"


async def test_scheme_of_a_proxy(cluster, configuration, healthy):
    """Where a proxy ends TLS, URLs say so; addresses, which this machine's roles use, stay as they are."""
    await cluster.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: config-network, namespace: "
                        "knative-serving}, data: {default-external-scheme: https}}")
    await cluster.apply(configuration())
    await healthy("c-00001")
    await cluster.apply(route())
    await cluster.until_condition(f"Route.{GROUP}", "r", "Ready", status="True")

    status = cluster.get(f"Route.{GROUP}", "r")["status"]
    assert (status["url"], status["traffic"][0]["url"]) == (
        "https://r.default.localhost", "https://t-r.default.localhost")
    assert status["address"]["url"] == "http://r.default.svc.cluster.local"
    await cluster.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: config-network, namespace: "
                        "knative-serving}, data: {}}")
    url = f"http://r.default.localhost:{cluster.config.port}"
    await cluster.until(lambda: cluster.get(f"Route.{GROUP}", "r")["status"]["url"] == url)


async def test_domain_of_ones_own(cluster, configuration, healthy):
    """Domain and template make hosts; the inner names lead there; a change leaves nothing behind."""
    await cluster.apply(configuration())
    await healthy("c-00001")
    await cluster.apply(route())
    await cluster.until_condition(f"Route.{GROUP}", "r", "Ready", status="True")
    await cluster.apply(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: config-domain, namespace: knative-serving}, "
        "data: {example.com: ''}}\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: config-network, "
        "namespace: knative-serving}, data: {domain-template: '{{.Name}}-{{.Namespace}}.{{.Domain}}'}}")
    routes = await cluster.until_projected("routes", lambda routes: set(routes) == {
        "r-default.example.com", "t-r-default.example.com", "r.default.svc.cluster.local",
        "t-r.default.svc.cluster.local"})

    assert routes["t-r.default.svc.cluster.local"] == {
        "service": "default/r", "alias": "t-r-default.example.com", "visibility": "cluster-local"}
    url = f"http://r-default.example.com:{cluster.config.port}"
    await cluster.until(lambda: cluster.get(f"Route.{GROUP}", "r")["status"]["url"] == url)
    status = cluster.get(f"Route.{GROUP}", "r")["status"]
    assert status["address"]["url"] == "http://r.default.svc.cluster.local"

    await cluster.delete(f"Route.{GROUP}", "r")
    await cluster.until_projected("routes", lambda routes: not routes)


async def test_tags_by_header(cluster, configuration, healthy):
    """With the feature on, the untagged host knows what each tag stands for."""
    await cluster.apply(configuration())
    await healthy("c-00001")
    await cluster.apply(route())
    await cluster.until_projected("routes", lambda routes: len(routes) == 2)
    await cluster.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: config-features, namespace: "
                        "knative-serving}, data: {tag-header-based-routing: enabled}}")

    tagged = {"t": [{"revision": "default/c-00001", "percent": 100, "tag": "t"}]}
    await cluster.until_projected("routes", lambda routes: {
        host: record.get("tags") for host, record in routes.items()} == {
            "r.default.localhost": tagged, "t-r.default.localhost": {}})


def test_route_is_judged(admit):
    """A Route's traffic is judged with its path."""
    made, errors, _ = admit(
        "{apiVersion: serving.knative.dev/v1, kind: Route, metadata: {name: r}, spec: {traffic: "
        "[{percent: 50}]}}"
    )

    assert made["spec"]["traffic"] == [{"percent": 50, "latestRevision": True}]
    assert errors == (
        "Traffic targets sum to 50, want 100: spec.traffic\n"
        "expected exactly one, got neither: spec.traffic[0].configurationName, spec.traffic[0].revisionName"
    )
