"""A site's side of commits: its state on its own disk, and its word for it."""

from coordinator.algorithms.party import Party
from coordinator.keeping import Keeping
from coordinator.protocol.site_channel import SiteChannel
from sites.far_gate import Witness


class SiteCommits:
    """Makes this site's commits; a next one only when all hold the one before, so that two suffice."""

    def __init__(self, keeping: Keeping, channel: SiteChannel, gate: Witness) -> None:
        """Begin at the schedule's start."""
        self._keeping, self._channel, self._gate = keeping, channel, gate
        self._made = -1

    def rewind(self, number: int) -> None:
        """Go on from a commit, -1: begin anew; the ledger says so, and is never set back."""
        self._keeping.rewind(number)
        self._gate.went_on(number)
        self._made = number

    def start(self) -> int:
        """Give the item of the schedule after which to go on."""
        return self._keeping.start()

    def go_on(self, party: Party) -> None:
        """Put the site into the commit's state."""
        self._keeping.go_on(party)

    def make(self, party: Party, number: int, item: int) -> None:
        """Write this site's state, sync its ledger meanwhile, and say so once both lie on the disk."""
        with self._keeping.timed():
            self._channel.await_kept(self._made)
            self._keeping.commits.forget_old()
            written = self._keeping.begin(party, number, item)
            try:
                word = self._gate.committed(number, written)
            finally:
                self._keeping.commits.end()
            self._made = number
            self._channel.send(word)
