"""What `clarion func deploy` says on the way."""

from eventing.cli.func_deploy import progress


def conditions(**given):
    """A status' conditions: type=(status, reason, message)."""
    return [{"type": type_, "status": status, "reason": reason, "message": message}
            for type_, (status, reason, message) in given.items()]


def service(observed, **given):
    """A Service of generation 2 whose status is of generation *observed*."""
    return {"metadata": {"generation": 2}, "status": {
        "observedGeneration": observed, "latestCreatedRevisionName": "f-00001",
        "conditions": conditions(**given)}}


FAILED = {"status": {"conditions": conditions(
    ContainerHealthy=("Unknown", "Deploying", ""),
    ResourcesAvailable=("False", "EnvironmentFailed", "no such wheel"))}}


def test_a_revision_that_failed():
    """The Revision's own reason is what there is to say."""
    found = service(2, Ready=("False", "RevisionFailed", "Revision failed"))

    assert progress(found, FAILED) == ("False", "EnvironmentFailed: no such wheel")


def test_the_revision_before():
    """While Service or Configuration are behind, the newest Revision is the one before: nothing of it."""
    behind = ("Unknown", "OutOfDate", "The Configuration is still working")

    for found in (service(1, Ready=("False", "", "")), service(2, Ready=behind, ConfigurationsReady=behind)):
        assert progress(found, FAILED) == ("Unknown", "waiting for the control plane")


def test_without_a_revision():
    """What the Service says itself, if it says anything."""
    assert progress(service(2, Ready=("False", "NotOwned", "it is another's")), None) == (
        "False", "NotOwned: it is another's")
    assert progress(service(2, Ready=("Unknown", "", "")), None) == ("Unknown", "waiting for the Revision")
