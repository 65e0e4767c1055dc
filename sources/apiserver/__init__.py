"""ApiServerSource: the objects of a Kubernetes API, and an event for each of their changes."""

from sources.apiserver import kind, watcher

__all__ = ["kind", "watcher"]
