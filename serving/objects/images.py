"""
Image names that stand for bundles, so that a YAML written for a cluster needs no edit here.

    apiVersion: v1
    kind: ConfigMap
    metadata: {name: clarion-images, namespace: knative-serving}
    data:
      price: ghcr.io/shop/price = func://./price        any tag and any digest of that repository
      old: ghcr.io/shop/price:1.0 = func://./price-1    that tag alone; it goes before the line above

`clarion apply` makes a bundle of each folder and puts its digest there. The keys are only names: Kubernetes
allows neither `/` nor `:` in them. A Revision looks here once, when it finds its image; what the name means
later is for later Revisions, as with a tag that was moved.

Pure; `revision.py` reads the ConfigMap.
"""

from collections.abc import Iterator, Mapping

CONFIG = "clarion-images"


def mapped(image: str, data: Mapping[str, str]) -> str | None:
    """What *image* stands for (`func://..`) according to a ConfigMap's *data*; None if nobody says so."""
    known = {name: target for name, _, target in lines(data)}
    return known.get(image) or known.get(image.partition("@")[0]) or known.get(_repository(image))


def lines(data: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Image, key and target of every line that names both."""
    for key, text in data.items():
        name, is_line, target = text.partition("=")
        if is_line and name.strip() and target.strip():
            yield name.strip(), key, target.strip()


def _repository(image: str) -> str:
    """*image* without tag and digest; a colon before the last slash belongs to the registry's port."""
    name = image.partition("@")[0]
    place, slash, last = name.rpartition("/")
    return place + slash + last.partition(":")[0]
