"""The Kubernetes REST API over the store: `build` makes the application."""

from eventing.control.api.app import build

__all__ = ["build"]
