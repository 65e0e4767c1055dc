"""
CustomResourceDefinitions, as `kn source list` and `list-types` look for sources in them: read-only. Pure.

They say what each kind is called, and in which versions it is served; its fields are in /openapi/v3. Source:
Kubernetes' API reference, CustomResourceDefinition v1; Knative's label of what is a source.
"""

from itertools import groupby
from typing import Any

from eventing.control import failure, selector
from eventing.control.kind import Kind, every, named
from eventing.control.resource import Resource

GROUP, VERSION, PLURAL = "apiextensions.k8s.io", "v1", "customresourcedefinitions"
_SOURCES = "sources.knative.dev"
_IS_SOURCE = {"duck.knative.dev/source": "true"}


def answer(rest: list[str], labels: str) -> dict[str, Any]:
    """The one that *rest* names (`[]`: a list of all that the selector *labels* passes); Failure 404."""
    kinds = sorted((kind for kind in every() if kind.is_custom), key=_plural)
    found = [_definition(list(versions)) for _, versions in groupby(kinds, key=_plural)]
    if not rest:
        passes = selector.labels(labels)
        return {"kind": "CustomResourceDefinitionList", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {},
                "items": [one for one in found if passes(one["metadata"]["labels"])]}
    named = [one for one in found if [one["metadata"]["name"]] == rest]
    if not named:
        raise failure.unknown_path()
    return named[0]


def _plural(kind: Kind) -> str:
    return kind.resource_name


def _definition(versions: list[Kind]) -> Resource:
    kind = versions[0]
    names = {"kind": kind.kind, "listKind": f"{kind.kind}List", "plural": kind.plural,
             "singular": kind.singular, "shortNames": list(kind.short_names),
             "categories": list(kind.categories)}
    return {"kind": "CustomResourceDefinition", "apiVersion": f"{GROUP}/{VERSION}",
            "metadata": {"name": kind.resource_name,
                         "labels": _IS_SOURCE if kind.group == _SOURCES else {}},
            "spec": {"group": kind.group, "names": names,
                     "scope": "Namespaced" if kind.namespaced else "Cluster",
                     "versions": [{"name": each.version, "served": True,
                                   "storage": named(each.full_name) is each} for each in versions]},
            "status": {"conditions": [{"type": "Established", "status": "True"}], "acceptedNames": names}}
