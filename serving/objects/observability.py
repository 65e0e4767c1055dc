"""
ConfigMap config-observability: whether requests are logged, and as which line; where lines can be read.

    logging.enable-request-log       "true"
    logging.request-log-template     a Go template, by default Knative's
    logging.revision-url-template    what revision.py makes the logUrl of a Revision of

Of Go's templates there are fields, `js` before one or behind a `|`, and `.Request.Header.Get "NAME"`. The
fields are Knative's. Pure; where their values come from is the activator's affair (requestlog.py). Source:
Knative Serving's `pkg/http/request_log.go`.
"""

import re
from collections.abc import Callable, Mapping

ENABLE, TEMPLATE = "logging.enable-request-log", "logging.request-log-template"
PROBES = "logging.enable-probe-request-log"  # read, and without effect: probes do not pass the activator
LOG_URL = "logging.revision-url-template"  # of a Revision's status.logUrl; ${REVISION_UID} is its uid
KEYS = (ENABLE, TEMPLATE, PROBES, LOG_URL)
FIELDS = (".Request.Method", ".Request.RequestURI", ".Request.Host", ".Request.ContentLength",
          ".Request.UserAgent", ".Request.Referer", ".Request.RemoteAddr", ".Request.Proto", ".Response.Code",
          ".Response.Size", ".Response.Latency", ".Revision.Name", ".Revision.Namespace", ".Revision.Service",
          ".Revision.Configuration", ".Revision.PodName", ".Revision.PodIP", ".TraceID")
HEADER = ".Request.Header."  # and the header's name, in small letters

DEFAULT = (
    '{"httpRequest": {"requestMethod": "{{.Request.Method}}", "requestUrl": "{{js .Request.RequestURI}}", '
    '"requestSize": "{{.Request.ContentLength}}", "status": {{.Response.Code}}, '
    '"responseSize": "{{.Response.Size}}", "userAgent": "{{js .Request.UserAgent}}", '
    '"remoteIp": "{{js .Request.RemoteAddr}}", "serverIp": "{{.Revision.PodIP}}", '
    '"referer": "{{js .Request.Referer}}", "latency": "{{.Response.Latency}}s", '
    '"protocol": "{{.Request.Proto}}"}, "traceId": "{{.TraceID}}"}')

_ACTION = re.compile(r"(?:\s*\{\{-\s|\{\{)\s*(.*?)(?:\s-\}\}\s*|\s*\}\})")
_PIPED = re.compile(r"(?:js\s+(?P<before>.+))|(?:(?P<piped>.+?)\s*\|\s*js)|(?P<plain>.+)")
_HEADER = re.compile(r'\.Request\.Header\.Get "([^"]+)"')
_UNSAFE = re.compile(r"""[\\'"<>&=\x00-\x1f]""")



class Template:
    """A template that was understood."""

    def __init__(self, text: str) -> None:
        """Raises ValueError for a *text* with an action that is not known here, or has no end."""
        parts = _ACTION.split(text)
        self._texts = parts[::2]
        for rest in self._texts:
            if "{{" in rest:
                begun = rest[rest.index("{{"):].partition("\n")[0]
                raise ValueError(f"{begun} is not understood: the action has no end, }}}}")
        self._fields = [_field(action) for action in parts[1::2]]

    def line(self, value: Callable[[str], str]) -> str:
        """The line of one request, without its end; *value* of each field, one of FIELDS or HEADER + name."""
        made = [self._texts[0]]
        for (name, escaped), text in zip(self._fields, self._texts[1:], strict=True):
            found = value(name)
            made += (_UNSAFE.sub(_escape, found) if escaped else found, text)
        return " ".join("".join(made).splitlines())


def read(data: Mapping[str, str]) -> Template | None:
    """
    What *data* of config-observability asks for; None: no log.

    Raises:
        ValueError: names the key that is wrong.
    """
    for key in (ENABLE, PROBES):
        if data.get(key, "false").lower() not in {"true", "false"}:
            raise ValueError(f"{key} = {data[key]}, must be true or false")
    text = data.get(TEMPLATE, DEFAULT)
    try:
        template = Template(text)
    except ValueError as error:
        raise ValueError(f"{TEMPLATE}: {error}") from error
    if data.get(ENABLE, "false").lower() != "true":
        return None
    if not text.strip():
        raise ValueError(f"{ENABLE} is true, and {TEMPLATE} is empty: leave it out, for Knative's own")
    return template


def check(data: Mapping[str, str]) -> None:
    """Raise ValueError, which names the key, for what cannot be read."""
    read(data)


def _field(action: str) -> tuple[str, bool]:
    """The field of *action*, and whether it is to be escaped."""
    found = _PIPED.fullmatch(action)
    name = (found["before"] or found["piped"] or found["plain"]).strip() if found else ""
    is_escaped = found is not None and not found["plain"]
    if header := _HEADER.fullmatch(name):
        return f"{HEADER}{header[1].lower()}", is_escaped
    if name not in FIELDS:
        raise ValueError(f"{{{{{action}}}}} is not understood: there are {', '.join(FIELDS)}, "
                         '.Request.Header.Get "NAME", and js before any of them')
    return name, is_escaped


def _escape(found: re.Match[str]) -> str:
    """As Go's `js`, but that quotes are escaped as JSON has them, since these lines mostly are JSON."""
    return f"\\u{ord(found[0]):04X}"
