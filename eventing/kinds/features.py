"""
ConfigMap `config-features` of eventing: which values its flags may have. Pure.

Of these features Clarion has those that Knative turns on, as Knative has them by default, and two that it
does not:

    delivery-retryafter       `retryAfterMax` of a DeliverySpec (control/delivery.py)
    eventtype-auto-create     an EventType for each type of event that is seen (eventtype.py)

A flag that asks for another one is stored and changes nothing, so that a cluster's ConfigMaps may be applied
here. Source: Knative Eventing's feature flags.
"""

from collections.abc import Mapping

from eventing import duration
from eventing.control import settings

NAMESPACE = "knative-eventing"
NAME = "config-features"

_PLAIN = ("enabled", "disabled", "allowed")
_MODES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("kreference-group", "kreference-mapping", "delivery-retryafter", "delivery-timeout",
                     "eventtype-auto-create", "authentication-oidc", "cross-namespace-event-links",
                     "new-apiserversource-filters", "new-trigger-filters", "istio"), _PLAIN),
    "transport-encryption": ("disabled", "permissive", "strict"),
    "default-authorization-mode": ("allow-same-namespace", "allow-all", "deny-all"),
}
_REPLY_TIMEOUT = "requestreply-default-timeout"


def check(data: Mapping[str, str]) -> None:
    """Raise ValueError for the first flag that has none of its values; unknown flags are Knative's affair."""
    for name, modes in _MODES.items():
        settings.one_of(data, name, modes)
    if _REPLY_TIMEOUT in data:
        try:
            duration.seconds(data[_REPLY_TIMEOUT])
        except ValueError as error:
            raise ValueError(f"{_REPLY_TIMEOUT} = {data[_REPLY_TIMEOUT]}, must be an ISO 8601 duration, such "
                             "as PT30S") from error


settings.register(NAMESPACE, NAME, check)
