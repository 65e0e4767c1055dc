"""
When a probe is asked, and what its answers add up to: Kubernetes' numbers, its defaults, its thresholds.

    state       until                                      then
    -----       -----                                      ----
    failing     successThreshold answers in a row pass     passing
    passing     failureThreshold answers in a row do not   failing

A readiness probe begins failing, a liveness probe passing; a startup probe is done once it passes, and has
failed after failureThreshold. Pure: who asks, and what follows, is `vigil.py`'s business.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Probe = Mapping[str, Any]

# Knative's queue-proxy asks every 50 ms where periodSeconds is 0, and its activator every 200 ms where it is
# not. A command is a process each time.
_EAGER_S, _SOON_S, _COMMAND_S = 0.05, 0.2, 1.0
_PERIOD_S, _TIMEOUT_S, _FAILURES = 10.0, 1.0, 3  # Kubernetes' defaults


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """The numbers of one probe, in seconds and answers."""

    delay_s: float  # from when the program runs
    period_s: float
    starting_period_s: float  # of a readiness probe that has not passed yet
    timeout_s: float
    failures: int
    successes: int

    @classmethod
    def of(cls, probe: Probe) -> "Timing":
        """What *probe* says, and what goes without saying."""
        period_s = probe.get("periodSeconds") or 0
        eager_s = _COMMAND_S if "exec" in probe else _SOON_S if period_s else _EAGER_S
        return cls(delay_s=probe.get("initialDelaySeconds") or 0, period_s=period_s or _PERIOD_S,
                   starting_period_s=min(eager_s, period_s or eager_s),
                   timeout_s=probe.get("timeoutSeconds") or _TIMEOUT_S,
                   failures=probe.get("failureThreshold") or _FAILURES,
                   successes=probe.get("successThreshold") or 1)


class Streak:
    """The state of one probe."""

    __slots__ = ("_against", "_timing", "passing")

    def __init__(self, timing: Timing, *, passing: bool) -> None:
        """Begin *passing* or not."""
        self._timing = timing
        self._against = 0  # answers in a row that speak against the state
        self.passing = passing

    def __repr__(self) -> str:
        """State, and what speaks against it."""
        return f"<Streak [{'passing' if self.passing else 'failing'} | {self._against} against]>"

    def add(self, *, passed: bool) -> bool:
        """One answer; True if the state is another one now."""
        self._against = 0 if passed == self.passing else self._against + 1
        if self._against < (self._timing.failures if self.passing else self._timing.successes):
            return False
        self.passing, self._against = passed, 0
        return True
