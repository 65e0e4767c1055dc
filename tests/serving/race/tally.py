"""What the race saw, and whether it is what was promised."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

_SHOWN = 5  # of the failures of one sort


@dataclass
class Tally:
    """Counts, and every request that was not answered as it had to be."""

    answers: Counter = field(default_factory=Counter)  # by Service
    cold: Counter = field(default_factory=Counter)  # by Service: requests that woke one from zero
    workers: dict = field(default_factory=lambda: defaultdict(set))  # Service -> pids that answered
    revisions: dict = field(default_factory=lambda: defaultdict(set))  # Service -> those that answered
    broken: list = field(default_factory=list)  # clean answers were promised, and these are none
    killed: int = 0  # workers killed
    failed_once: int = 0  # requests that met a killed worker; the next try was answered
    rollouts: Counter = field(default_factory=Counter)  # by Service: revisions made
    sent: set = field(default_factory=set)  # events that were accepted (202)
    refused: list = field(default_factory=list)  # events that were not
    done: Counter = field(default_factory=Counter)  # events that a function answered, by how often
    longest: dict = field(default_factory=dict)  # by Service: seconds
    most_at_once: int = 0  # workers of one Service seen in one burst

    @property
    def missing(self):
        """Events that were accepted, and whose reply never came."""
        return self.sent - self.done.keys()

    @property
    def problems(self):
        """One line for each promise that was broken; empty: none was."""
        lines = [f"not answered cleanly: {each}" for each in self.broken[:_SHOWN]]
        lines += [f"event not accepted: {each}" for each in self.refused[:_SHOWN]]
        lines += [f"event never handled: {each}" for each in sorted(self.missing)[:_SHOWN]]
        return lines

    def __str__(self):
        """The summary."""
        repeated = sum(count - 1 for count in self.done.values())
        return "\n".join([
            f"requests answered   {self.answers.total()}",
            f"the longest took    {self.longest}",
            f"not answered        {len(self.broken)}",
            f"met zero            {self.cold.total()} requests, which waited for a worker",
            f"at most             {self.most_at_once} workers of one Service in a burst",
            f"processes           {sum(len(pids) for pids in self.workers.values())}",
            f"rollouts            {self.rollouts.total()}: {dict(self.rollouts)}",
            f"revisions seen      { {name: len(seen) for name, seen in self.revisions.items()} }",
            f"workers killed      {self.killed}; {self.failed_once} requests failed once",
            f"events accepted     {len(self.sent)}",
            f"events handled      {len(self.sent & self.done.keys())}, once more {repeated}",
            *self.problems,
        ])
