"""Objects that many tests apply, as YAML."""

BROKER = """
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: default}
"""
