"""
Every error that one part of Clarion raises for another, sorted by whose fault it is.

    ClarionError
    ├── Rejected                 somebody sent us something we cannot take; carries an HTTP status
    │   ├── NotACloudEvent       400
    │   ├── NotFound             404
    │   ├── Conflict             409
    │   ├── TooLarge             413
    │   └── Unavailable          503   we could not keep it; ask again later
    ├── NoAnswer                   a server that we asked gave no (whole, readable) answer; `reason` says why
    └── UsageError               a person's command or setting; one line and exit code 2

The message of an error names the field (or attribute, or option), what was wrong, and the next step.
Errors of libraries are translated in the one module that owns the library, with `raise ... from`.
"""


class ClarionError(Exception):
    """Anything that Clarion raises on purpose."""


class Rejected(ClarionError):
    """A request that cannot be served; `status` is the HTTP status it becomes."""

    status = 400


class NotACloudEvent(Rejected):
    """The request is not a valid CloudEvent; the message names the attribute."""


class NotFound(Rejected):
    """What the request names does not exist."""

    status = 404


class Conflict(Rejected):
    """The object exists already, or was modified since it was read."""

    status = 409


class TooLarge(Rejected):
    """A body or head over its limit; the message names the limit."""

    status = 413


class Unavailable(Rejected):
    """Nothing is wrong with the request, but it cannot be kept now; it was not accepted."""

    status = 503


class NoAnswer(ClarionError):
    """
    A server that we asked gave no answer that can be used.

    `reason` is one of: bad-url, unresolved, refused, timeout, closed, garbage, too-large.
    """

    def __init__(self, reason: str, message: str) -> None:
        """*message* is a sentence for a person."""
        super().__init__(message)
        self.reason = reason


class UsageError(ClarionError):
    """A command, option or setting that cannot work: one line that says what, and what to do."""
