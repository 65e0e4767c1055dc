"""The control plane: resources as Kubernetes has them, kept in Redis, served to kubectl, reconciled here."""
