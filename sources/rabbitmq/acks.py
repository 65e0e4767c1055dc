"""
Which deliveries may be acknowledged, in as few words as AMQP allows. Pure.

One `basic.ack` with `multiple` acknowledges all deliveries of a channel up to its tag, so those of the oldest
that are done need one; the others, done before an older one, need one each.
"""


class Acks:
    """The deliveries of one channel that were not acknowledged yet."""

    def __init__(self) -> None:
        """None were made."""
        self._is_done: dict[int, bool] = {}  # by delivery tag, oldest first

    def __repr__(self) -> str:
        """Counts."""
        return f"<Acks [{len(self._is_done)} open | {sum(self._is_done.values())} done]>"

    def delivered(self, tag: int) -> None:
        """A message came; tags only grow."""
        self._is_done[tag] = False

    def done(self, tag: int) -> None:
        """Its event was accepted."""
        self._is_done[tag] = True

    def rejected(self, tag: int) -> None:
        """The server was told that we do not want it."""
        del self._is_done[tag]

    def take(self) -> tuple[int, list[int]]:
        """The tag up to which all are done (0: none), and the tags of others that are; each is said once."""
        done = [tag for tag, is_done in self._is_done.items() if is_done]
        oldest_open = next((tag for tag, is_done in self._is_done.items() if not is_done), None)
        for tag in done:
            del self._is_done[tag]
        if oldest_open is None:
            return (done[-1] if done else 0), []
        together = [tag for tag in done if tag < oldest_open]
        return (together[-1] if together else 0), done[len(together):]
