"""The loop that makes the world like the objects (see Context in context.py for what a reconciler is given)."""
