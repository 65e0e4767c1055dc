"""The YAML that the benchmarks apply, as values."""

TYPE = "bench"  # of every event that the generators send


def broker() -> dict:
    """Make the broker default/default."""
    return {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker",
            "metadata": {"name": "default", "namespace": "default"}}


def trigger(name: str, *, wants: str, uri: str | None = None, service: str | None = None) -> dict:
    """Make a Trigger on events of type *wants*, to a URL or a Service."""
    subscriber = {"uri": uri} if uri else {
        "ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": service}}
    spec = {"broker": "default", "filter": {"attributes": {"type": wants}}, "subscriber": subscriber}
    return {"apiVersion": "eventing.knative.dev/v1", "kind": "Trigger",
            "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def function(name: str, folder: str, env: dict[str, str], *, scale: dict[str, str] | None = None,
             preload: str = "", command: list[str] | None = None) -> dict:
    """
    Make a Service whose code is *folder*; its first event starts its first worker.

    *scale* has annotations of the autoscaler; *preload* names modules; *command* makes it a program.
    """
    container: dict = {"image": f"func://./{folder}",
                       "env": [{"name": key, "value": value} for key, value in env.items()]}
    if command:
        container["command"] = command
    annotations = {f"autoscaling.knative.dev/{key}": value
                   for key, value in {"initial-scale": "0", "window": "6s", **(scale or {})}.items()}
    if preload:
        annotations["clarion.dev/preload"] = preload
    return {"apiVersion": "serving.knative.dev/v1", "kind": "Service",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"template": {"metadata": {"annotations": annotations},
                                  "spec": {"containers": [container]}}}}


def zero_at_first() -> dict:
    """Make the ConfigMap that lets a revision start without a worker."""
    return {"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "config-autoscaler", "namespace": "knative-serving"},
            "data": {"allow-zero-initial-scale": "true"}}
