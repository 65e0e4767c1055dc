"""
What a revision's template may ask for, and is not done here: a sentence each, for whoever applies it.

Such a template is judged and stored all the same, so that one YAML serves here and in a cluster. Pure; paths
begin at the Service. What the feature flags of `config-features` let a pod say besides (tolerations, say) is
not looked at: who turns such a flag on knows where he is.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from eventing.control import resource
from serving.objects import autoscaling, horizontal, mounting, probes, workload

_SPEC = "spec.template.spec"
_LEAST_BYTES = 40 * 1024 * 1024  # what a function needs
_CLASS = f"{autoscaling.GROUP}/class"


def of_template(template: Mapping[str, Any], usual: autoscaling.Settings) -> Iterator[str]:
    """The sentences about *template*; *usual* holds for a revision which says nothing of its scaling."""
    spec = resource.spec(template)
    serving = workload.serving_container(spec)
    yield from _of_scaling(resource.annotations(template), serving, usual)
    yield from (f"{_SPEC}.{unserved}" for unserved in mounting.unserved(spec))
    for index, _ in enumerate(spec.get("initContainers") or ()):
        yield f"{_SPEC}.initContainers[{index}]: init containers are not run here"
    for index, container in enumerate(spec.get("containers") or ()):
        if container is serving:
            annotations = resource.annotations(template)
            yield from _of_container(container, f"{_SPEC}.containers[{index}]", annotations)
        else:
            yield f"{_SPEC}.containers[{index}]: only the container that has a port is run here"


def _of_scaling(annotations: Mapping[str, str], container: Mapping[str, Any],
                usual: autoscaling.Settings) -> Iterator[str]:
    found = horizontal.class_of(annotations, usual)
    if found == autoscaling.HPA:
        if (trouble := horizontal.trouble(annotations, container, usual)) is not None:
            yield f"{autoscaling.GROUP}/metric: {trouble[1]}"
    elif found != autoscaling.KPA:
        yield f"{_CLASS}: no {found} here, the KPA scales by requests at once, or a second"


def _of_container(container: Mapping[str, Any], path: str, annotations: Mapping[str, str]) -> Iterator[str]:
    ports: list[Mapping[str, Any]] = container.get("ports") or [{}]
    if ports[0].get("name") == "h2c":
        yield f"{path}.ports[0].name: h2c is not spoken here, requests come in HTTP/1.1"
    if (workload.memory_bytes(container) or _LEAST_BYTES) < _LEAST_BYTES:
        limit = container["resources"]["limits"]["memory"]
        yield (f"{path}.resources.limits.memory: {limit} is little: a function needs "
               "40Mi at least here, and a program may end, or never listen, for want of memory")
    if not probes.may_listen_elsewhere(container, annotations):
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            yield from _of_probe(container, name, path)


def _of_probe(container: Mapping[str, Any], name: str, path: str) -> Iterator[str]:
    """A worker is asked at its one port, unless it is alone and may listen where it likes."""
    for handler in ("httpGet", "tcpSocket", "grpc"):
        port = probes.another_port((container.get(name) or {}).get(handler) or {}, container)
        if port is not None:
            yield (f"{path}.{name}.{handler}.port: a worker is asked at its serving port here, and at {port} "
                   f'only with a command and {autoscaling.GROUP}/max-scale: "1"')
