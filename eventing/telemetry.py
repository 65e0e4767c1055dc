"""
What a role says about itself: log lines with fields on stderr, and metrics in Prometheus' text.

Knows nothing of roles' work. One vocabulary of fields: `role`, `index`, `broker`, `trigger`, `source`,
`revision`, `event_id`, `status`, `attempt`, `error`, and durations ending in `_s` or `_ms`.
A log line is one line whatever is in it: JSON for machines, aligned and coloured for a terminal, which folds
it between words where it is too narrow.
"""

import logging
import os
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class _ToStructlog(logging.Handler):
    """Passes the lines of libraries that use the standard library's logging on to our own output."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log *record* under its logger's name."""
        fields = {"exc_info": record.exc_info} if record.exc_info else {}
        structlog.get_logger(record.name).log(record.levelno, record.getMessage(), **fields)


def configure_logging(log_format: str, log_level: str, role: str, index: int) -> None:
    """
    Set up this process' log lines, those of libraries among them.

    Args:
        log_format: `json`, `console`, or `auto`: console on a terminal, else json.
        log_level: least level printed.
        role: stands in every line.
        index: which process of that role; shown where it is not the first.
    """
    console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    label = f"{role}-{index}" if index else role

    def name_the_role(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> Any:
        fields["role"] = label
        return fields

    processors: list[structlog.types.Processor] = [
        name_the_role,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S.%f" if console else "iso", utc=not console),
    ]
    if console:
        processors.append(structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), pad_event_to=24,
            exception_formatter=structlog.dev.plain_traceback))
        if sys.stderr.isatty():
            processors.append(lambda _logger, _method, line: folded(
                str(line), os.get_terminal_size(sys.stderr.fileno()).columns))
    else:
        processors += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[log_level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # Libraries speak up only when something is wrong: their `info` is not news to whoever runs Clarion.
    logging.basicConfig(handlers=[_ToStructlog()], level=max(_LEVELS[log_level], logging.WARNING), force=True)
    logging.captureWarnings(capture=True)


def folded(text: str, width: int) -> str:
    """*text*, its first line without padding and on several lines if it has more than *width* characters."""
    first, end, rest = text.partition("\n")  # the rest is a traceback, which has lines of its own
    if not width or _length(first) <= width:
        return text
    line, *words = first.split()
    lines = []
    for word in words:
        if _length(f"{line} {word}") > width:
            lines.append(line)
            line = f"    {word}"
        else:
            line = f"{line} {word}"
    return "\n".join([*lines, line]) + end + rest


def _length(text: str) -> int:
    return len(_COLOUR.sub("", text))


def merge_metrics(texts: Mapping[tuple[str, int], str]) -> str:
    """
    Join the metrics of several role processes, in Prometheus' text, into one such text.

    Every sample gets the labels `role` and `index`; each family's HELP and TYPE stand once, before all
    its samples, as the format demands.
    """
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for (role, index), text in texts.items():
        family = ""
        for line in text.splitlines():
            if line.startswith("# "):
                family = line.split(" ", 3)[2]
                head = heads.setdefault(family, [])
                if not any(line.split(" ", 2)[1] == known.split(" ", 2)[1] for known in head):
                    head.append(line)
            elif line:
                samples.setdefault(family, []).append(_labelled(line, f'role="{role}",index="{index}"'))
    lines = [line for family, found in samples.items() for line in (*heads.get(family, ()), *found)]
    return "".join(f"{line}\n" for line in lines)


def _labelled(sample: str, labels: str) -> str:
    """Add *labels* to one sample line; a name never contains a brace or a space."""
    brace, space = sample.find("{"), sample.find(" ")
    if brace == -1 or space < brace:
        return f"{sample[:space]}{{{labels}}}{sample[space:]}"
    rest = sample[brace + 1:]
    return f"{sample[:brace]}{{{labels}{'' if rest.startswith('}') else ','}{rest}"
