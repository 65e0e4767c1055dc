"""Metrics of many processes as one text, and log lines of one process."""

import json
import subprocess
import sys

from prometheus_client.parser import text_string_to_metric_families

from eventing import telemetry

ONE = '# HELP x_total Things.\n# TYPE x_total counter\nx_total 1.0\nx_total{a="b c{}"} 2.0\n'
TWO = "# HELP x_total Things.\n# TYPE x_total counter\nx_total 3.0\n# TYPE y gauge\ny{} 4.0\n"

LOGGING = """
import logging, structlog
from eventing import telemetry
telemetry.configure_logging("auto", "info", "ingress", 1)
structlog.get_logger("a").info("served", port=80)
structlog.get_logger("a").debug("unseen")
logging.getLogger("lib").warning("odd %s", "thing")
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger("a").exception("failed")
"""


def test_a_log_line_is_folded_between_words():
    """On a narrow terminal; colours take no room, and what fits, or a traceback, stays as it is."""
    line = "12:00 [\x1b[32minfo \x1b[0m] applied    object=service/a role=control\nTraceback (most recent)"

    assert telemetry.folded(line, 60) == telemetry.folded(line, 0) == line
    assert telemetry.folded(line, 28) == (
        "12:00 [\x1b[32minfo \x1b[0m] applied\n    object=service/a\n    role=control\n"
        "Traceback (most recent)")


def test_merged_metrics_parse():
    """The merged text has each family once, and each sample with its role and index."""
    text = telemetry.merge_metrics({("ingress", 0): ONE, ("dispatcher", 1): TWO})

    samples = [(sample.name, sample.labels, sample.value)
               for family in text_string_to_metric_families(text) for sample in family.samples]
    assert samples == [
        ("x_total", {"role": "ingress", "index": "0"}, 1.0),
        ("x_total", {"role": "ingress", "index": "0", "a": "b c{}"}, 2.0),
        ("x_total", {"role": "dispatcher", "index": "1"}, 3.0),
        ("y", {"role": "dispatcher", "index": "1"}, 4.0),
    ]
    assert text.count("# TYPE x_total") == 1


def test_log_lines_are_json():
    """Our lines, libraries' lines and tracebacks are one JSON object a line, on stderr, with the role."""
    done = subprocess.run([sys.executable, "-c", LOGGING], capture_output=True, text=True, check=True)

    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["event"], line["role"], line["level"]) for line in lines] == [
        ("served", "ingress-1", "info"), ("odd thing", "ingress-1", "warning"),
        ("failed", "ingress-1", "error")]
    assert lines[0]["port"] == 80
    assert "ZeroDivisionError" in lines[2]["exception"]
