"""What an event's attributes may be called, and what their values look like (CloudEvents 1.0, 0.3). Pure."""

import datetime as dt
import functools
import re
import urllib.parse
from collections.abc import Callable, Mapping

from eventing.errors import NotACloudEvent

# Sources, schemas and media types repeat; what is longer than this is checked anew, so that nobody fills
# the cache with long ones.
_CACHED_CHARACTERS = 200
_CACHED_VALUES = 2048
_REQUIRED = ("id", "source", "type")

_EXTENSION = re.compile(r"[a-z0-9]+")
# RFC 3339, section 5.6, as far as the shape goes.
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
# RFC 3986, section 4.1, and white space and non-ASCII, which Go's url.Parse takes.
_URI_REFERENCE = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.-]*:|(?![^/?#]*:))(?:[^\x00-\x1f\x7f%]|%[0-9A-Fa-f]{2})*"
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.")
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[\t !#-\[\]-~]|\\[\t -~])*"'
# RFC 9110, section 8.3.1; a type without subtype, and a semicolon at the end, which Go takes too.
_BLANKS = r"[ \t]*"  # white space of headers has no line breaks
_PARAMETER = rf"{_BLANKS}{_WORD}=(?:{_WORD}|{_QUOTED}){_BLANKS}"
_MEDIA_TYPE = re.compile(rf"{_BLANKS}{_WORD}(?:/{_WORD})?{_BLANKS}(?:;{_PARAMETER})*;?{_BLANKS}")
_JSON_TYPE = re.compile(r"\s*[^/;\s]+/(?:[^;\s]+\+)?json\s*(?:;|$)", re.IGNORECASE)


def extension_name(name: str) -> str:
    """*name*, if an attribute may be called so; NotACloudEvent if not."""
    if _EXTENSION.fullmatch(name) is None or name == "data":
        raise NotACloudEvent(f"{name}: is not an attribute's name; use lower-case letters and digits")
    return name


def validate(attributes: dict[str, str]) -> None:
    """Check every attribute, NotACloudEvent; drops `datacontentencoding` of 0.3 (see binding.py)."""
    version = attributes.get("specversion")
    if version not in _CHECKS:
        known = "it must be 1.0 or 0.3"
        what = "is missing" if version is None else f"is {version!r}"
        raise NotACloudEvent(f"specversion: {what}; {known} (header ce-specversion, or a structured event)")
    for name in _REQUIRED:
        value = attributes.get(name)
        if not value or value.isspace():
            raise NotACloudEvent(f"{name}: is {'missing' if value is None else 'empty'}; every event has one")
    for name, (check, complaint) in _CHECKS[version].items():
        value = attributes.get(name)
        if value is not None and not check(value):
            raise NotACloudEvent(f"{name}: {complaint}")
    if version == "0.3":
        attributes.pop("datacontentencoding", None)


def _cached(check: Callable[[str], bool]) -> Callable[[str], bool]:
    cached = functools.lru_cache(_CACHED_VALUES)(check)
    return lambda text: cached(text) if len(text) <= _CACHED_CHARACTERS else check(text)


def _is_filled(text: str) -> bool:
    return bool(text) and not text.isspace()


def is_time(text: str) -> bool:
    """Whether *text* is a Timestamp (RFC 3339, section 5.6)."""
    if _TIME.fullmatch(text) is None:
        return False
    try:
        dt.datetime.fromisoformat(text.upper())
    except ValueError:  # the shape is right, the calendar is not
        return False
    return True


@_cached
def _is_uri_reference(text: str) -> bool:
    if _URI_REFERENCE.fullmatch(text) is None:
        return False
    try:
        _ = urllib.parse.urlsplit(text).port
    except ValueError:
        return False
    return True


@_cached
def _is_uri(text: str) -> bool:
    return _SCHEME.match(text) is not None and _is_uri_reference(text)


@_cached
def _is_media_type(text: str) -> bool:
    return _MEDIA_TYPE.fullmatch(text) is not None


@_cached
def is_json_type(text: str) -> bool:
    """Whether a media type is that of JSON."""
    return _JSON_TYPE.match(text) is not None


def _is_base64(text: str) -> bool:
    return text.lower() == "base64"


_COMMON: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "source": (_is_uri_reference, "is not a URI reference (RFC 3986, section 4.1)"),
    "time": (is_time, "is not a time as in 2026-01-31T23:59:59Z (RFC 3339)"),
    "subject": (_is_filled, "is empty; leave it out"),
    "datacontenttype": (_is_media_type, "is not a media type as in application/json (RFC 9110, 8.3.1)"),
}
_CHECKS = {
    "1.0": {**_COMMON, "dataschema": (_is_uri, "is not an absolute URI (RFC 3986, section 4.3)")},
    "0.3": {
        **_COMMON,
        "schemaurl": (_is_uri_reference, "is not a URI reference (RFC 3986, section 4.1)"),
        "datacontentencoding": (_is_base64, "is not base64, the only encoding there is"),
    },
}
