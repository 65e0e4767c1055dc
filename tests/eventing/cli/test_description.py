"""What `describe` shows of an object."""

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
