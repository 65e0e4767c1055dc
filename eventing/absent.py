"""Kinds that YAML for a cluster may hold and Clarion has not: what to do instead. Pure."""

from collections.abc import Mapping

_NO_PERMISSION = "nobody needs a permission here, leave it out"
_BUILT_IN = "what Clarion has is built in, leave it out"
_ROUTES = "hosts and traffic are those of Routes and DomainMappings (serving.knative.dev), leave it out"
_CHANNEL = "in place of a Channel write a Broker, and a Trigger for each Subscription"
_RUNS = "a program that is to keep running is a Deployment (apps/v1)"
_ENDS = "a program that is to end is not run here; a function that an event starts is (a Service)"
_SOURCE = "a program that sends events to K_SINK is a ContainerSource (sources.knative.dev/v1)"
_FUNCTION = "a function does this: a Service (serving.knative.dev/v1), and a Trigger whose subscriber it is"
_VARIABLES = "a program is told by variables of its own (env) where it connects to, leave it out"
_FILES = "a program sees the files of this machine, leave it out"

# group -> kind ("" for any other of the group) -> what to do.
_INSTEAD: Mapping[str, Mapping[str, str]] = {
    "": {"Service": "what answers HTTP is a Service of serving.knative.dev/v1, and a subscriber or sink "
                    "refers to it by that apiVersion, or has a uri",
         "Pod": _RUNS, "ReplicationController": _RUNS, "ServiceAccount": _NO_PERMISSION,
         "PersistentVolumeClaim": _FILES, "PersistentVolume": _FILES, "Endpoints": _ROUTES},
    "apps": {"": _RUNS},
    "batch": {"": _ENDS},
    "rbac.authorization.k8s.io": {"": _NO_PERMISSION},
    "apiextensions.k8s.io": {"": _BUILT_IN},
    "admissionregistration.k8s.io": {"": _BUILT_IN},
    "policy": {"": "nothing evicts a program here, leave it out"},
    "autoscaling": {"": "a Service is scaled by its annotations (autoscaling.knative.dev/...), a Deployment "
                        "by its spec.replicas"},
    "networking.k8s.io": {"": _ROUTES},
    "gateway.networking.k8s.io": {"": _ROUTES},
    "networking.istio.io": {"": _ROUTES},
    "messaging.knative.dev": {"": _CHANNEL},
    "flows.knative.dev": {
        "Sequence": "write a Trigger for each step, for the type of event that the step before answers with",
        "Parallel": "write a Trigger for each branch, with its filter"},
    "eventing.knative.dev": {"EventPolicy": "nobody is asked who he is here, leave it out",
                             "EventTransform": _FUNCTION, "RequestReply": _FUNCTION},
    "sinks.knative.dev": {"": _FUNCTION},
    "sources.knative.dev": {"": _SOURCE, "KafkaBinding": _VARIABLES},
    "bindings.knative.dev": {"": _VARIABLES},
}


def instead(group: str, kind: str) -> str:
    """What whoever wrote a *kind* of *group* may do; "" where nothing is known of it."""
    kinds = _INSTEAD.get(group, {})
    return kinds.get(kind, kinds.get("", ""))
