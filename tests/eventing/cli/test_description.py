"""What `describe` shows of an object."""

import base64

from eventing.cli import description


def test_a_long_message_stands_once():
    """A traceback that several conditions repeat is shown with the first, which is Ready."""
    trace = "Container failed with: Traceback\n  File func.py\nModuleNotFoundError: nowhere"
    conditions = [{"type": "ContainerHealthy", "status": "False", "reason": "ExitCode1", "message": trace},
                  {"type": "Ready", "status": "False", "reason": "ExitCode1", "message": trace},
                  {"type": "Active", "status": "Unknown", "reason": "Queued", "message": "waits"}]

    text = description.describe({"kind": "Revision", "apiVersion": "v1", "metadata": {"name": "a"},
                                 "status": {"conditions": conditions}}, [])

    lines = [line.strip() for line in text.partition("Conditions")[2].splitlines()]
    assert text.count("ModuleNotFoundError") == 1
    assert lines.index("ModuleNotFoundError: nowhere") < lines.index("(as above)")
    assert "waits" in lines


def test_what_only_machines_read_is_left_out():
    """Annotations of kubectl and of Clarion's own book-keeping, in metadata and status."""
    item = {"kind": "Broker", "apiVersion": "v1", "metadata": {"name": "a", "annotations": {
                "eventing.knative.dev/creator": "c", "shop": "a"}},
            "status": {"annotations": {"clarion.dev/partitions-since": "2:0"}, "observedGeneration": 1}}

    text = description.describe(item, [])

    assert "partitions-since" not in text
    assert "creator" not in text
    assert "shop=a" in text
    assert "observedGeneration" in text


def test_a_secret_is_not_shown():
    """Of a Secret only the lengths of its values are shown; a ConfigMap's values are."""
    values = [b"", b"a", b"ab", b"abc", b"wonder-land"]
    data = {f"key{len(value)}": base64.b64encode(value).decode() for value in values}
    item = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "a"}, "data": data}

    secret = description.describe(item, [])
    config_map = description.describe({**item, "kind": "ConfigMap"}, [])

    assert [line.strip() for line in secret.partition("Data\n")[2].splitlines()][:5] == [
        f"key{len(value)}: {len(value)} bytes" for value in values]
    assert data["key11"] in config_map
    assert data["key11"] not in secret
