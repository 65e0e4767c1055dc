"""
How long requests took, in buckets: what Prometheus makes a histogram of.

Plain numbers: a request pays for one search among a dozen bounds, and a revision that nobody asks for has
an empty dict. The bounds are those of Knative's queue-proxy.
"""

from bisect import bisect_left

BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)

Buckets = list[float]  # how many requests fell between two bounds, and at last the sum of all, in seconds


class Durations(dict[int, Buckets]):
    """By the status of the answer."""

    def add(self, status: int, seconds: float) -> None:
        """A request was answered with *status* after so many *seconds*."""
        buckets = self.get(status)
        if buckets is None:
            buckets = self[status] = [0] * (len(BOUNDS_S) + 2)
        buckets[bisect_left(BOUNDS_S, seconds)] += 1
        buckets[-1] += seconds


def cumulative(buckets: Buckets) -> list[tuple[str, float]]:
    """As Prometheus has it: bound, and how many were no longer."""
    *counts, _ = buckets
    found, total = [], 0.0
    for bound, count in zip((*BOUNDS_S, "+Inf"), counts, strict=True):
        total += count
        found.append((str(bound), total))
    return found
