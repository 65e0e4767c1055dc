"""
ConfigMap `config-br-defaults`: which class and which delivery a Broker gets that names none.

    class        annotation, else namespaceDefaults[ns].brokerClass, else clusterDefault.brokerClass
    config and   ns.brokerClasses[class]; else the namespace's own, if it is of that class;
    delivery     else cluster.brokerClasses[class]; else the cluster's own, whatever its class

Pure, but for the YAML in one key of the ConfigMap. Without that ConfigMap the built-in default stands,
which is what Knative ships. Source: knative.dev/eventing `pkg/apis/config/defaults.go`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from eventing.control import delivery as deliveries
from eventing.control import field, schema, settings
from eventing.control.field import FieldError

NAMESPACE = "knative-eventing"
NAME = "config-br-defaults"
_KEY = "default-br-config"

MT_CHANNEL_BASED = "MTChannelBasedBroker"
_BUILT_IN: Mapping[str, Any] = {
    "clusterDefault": {
        "brokerClass": MT_CHANNEL_BASED,
        "apiVersion": "v1", "kind": "ConfigMap", "name": "config-br-default-channel", "namespace": NAMESPACE,
        "delivery": {"retry": 10, "backoffPolicy": "exponential", "backoffDelay": "PT0.2S"},
    },
}
_ENTRY: dict[str, schema.Shape] = {**schema.REFERENCE, "brokerClass": str, "delivery": schema.DELIVERY,
                                  "disallowDifferentNamespaceConfig": bool}
_SHAPE = {"clusterDefault": {**_ENTRY, "brokerClasses": {"*": _ENTRY}},
          "namespaceDefaults": {"*": {**_ENTRY, "brokerClasses": {"*": _ENTRY}}}}
# What a Broker takes from the default delivery; timeout and retryAfterMax are left out, as in Knative.
_DELIVERY_FIELDS = ("deadLetterSink", "retry", "backoffPolicy", "backoffDelay")
_REFERENCE_FIELDS = ("apiVersion", "kind", "name", "namespace")


@dataclass(frozen=True)
class BrokerDefaults:
    """The parsed ConfigMap."""

    cluster: Mapping[str, Any]
    namespaces: Mapping[str, Mapping[str, Any]]

    def broker_class(self, namespace: str) -> str | None:
        """Class of a Broker in *namespace* that names none; None if there is no default."""
        own = self.namespaces.get(namespace, {})
        return own.get("brokerClass") or self.cluster.get("brokerClass") or None

    def chosen(self, namespace: str, broker_class: str) -> Mapping[str, Any]:
        """The entry that holds config and delivery for *broker_class*; empty if there is none."""
        own = self.namespaces.get(namespace, {})
        for entry in (own, self.cluster):
            if found := (entry.get("brokerClasses") or {}).get(broker_class):
                return dict(found)
            if entry and (entry is self.cluster or entry.get("brokerClass") == broker_class):
                return entry
        return {}

    def keeps_namespace(self, namespace: str) -> bool:
        """Whether `spec.config` of a Broker in *namespace* has to be in that namespace too."""
        return any(entry.get("disallowDifferentNamespaceConfig")
                   for entry in (self.namespaces.get(namespace, {}), self.cluster))


def parse(data: Mapping[str, str]) -> BrokerDefaults:
    """Read the ConfigMap's *data*, the built-in default where it is empty; ValueError if that fails."""
    content: Any = _BUILT_IN
    if _KEY in data:
        try:
            content = yaml.safe_load(data[_KEY])
        except yaml.YAMLError as error:
            raise ValueError(f"{NAME}: {_KEY} is no YAML: {error}") from error
    if not isinstance(content, Mapping):
        raise ValueError(f"{NAME}: {_KEY} has to be a map with clusterDefault and namespaceDefaults")  # noqa: TRY004
    namespaces = content.get("namespaceDefaults") or {}
    return BrokerDefaults(content.get("clusterDefault") or {}, {k: v or {} for k, v in namespaces.items()})


def check(data: Mapping[str, str]) -> None:
    """Raise ValueError for all that is wrong with the ConfigMap's *data*, with the paths in its YAML."""
    if _KEY not in data:
        return
    content = yaml.safe_load(data[_KEY]) if parse(data) else {}
    errors = [field.generic(f'unknown field "{each.name}"', each.path)
              for each in schema.unknown(content, _SHAPE)]
    if errors := errors + list(_errors(content)):
        raise ValueError(f"failed to parse {_KEY}: {field.render(errors)}")


def _errors(content: Mapping[str, Any]) -> Iterator[FieldError]:
    """What is wrong with the deliveries of *content*, and entries that are no maps."""
    entries = {"clusterDefault": content.get("clusterDefault"),
               **{f"namespaceDefaults.{name}": entry
                  for name, entry in (content.get("namespaceDefaults") or {}).items()}}
    for path, entry in entries.items():
        if not isinstance(entry or {}, Mapping):
            yield field.invalid_value(entry, path, "expected a map")
            continue
        classes = (entry or {}).get("brokerClasses") or {}
        for where, each in ((path, entry), *((f"{path}.brokerClasses.{name}", classes[name])
                                             for name in classes)):
            yield from field.via_field(deliveries.validate((each or {}).get("delivery")), where, "delivery")


settings.register(NAMESPACE, NAME, check, (_KEY,))


def reference(entry: Mapping[str, Any]) -> dict[str, Any] | None:
    """`spec.config` that *entry* gives; None if it names nothing."""
    found = {key: entry[key] for key in _REFERENCE_FIELDS if entry.get(key)}
    return found if "name" in found else None


def delivery(entry: Mapping[str, Any]) -> dict[str, Any] | None:
    """`spec.delivery` that *entry* gives; None if it says nothing about delivery."""
    given = entry.get("delivery")
    return {key: given[key] for key in _DELIVERY_FIELDS if key in given} if given else None
