"""How each site stands with the coordinator: here, cut off for a moment, lost, back, or away for now."""

import time
from collections.abc import Iterable, Sequence

from coordinator.protocol.line import RESUME_SECONDS
from coordinator.protocol.messages import Hello


class Presence:
    """What is known of every site's connection."""

    def __init__(self, sites: Sequence[str]) -> None:
        """Know nobody yet."""
        self.sites = tuple(sites)
        self.routes: dict[str, bytes] = {}
        self.hellos: dict[str, Hello] = {}  # of who is in
        self.welcomed = False
        self.done: set[str] = set()
        self.cut: dict[str, float] = {}  # whose connection ended, when; they may go on over another
        self.lost: set[str] = set()  # and of these, who has said Hello again
        self.returned: set[str] = set()
        self.away: set[str] = set()  # without whom all go on until they are let in again
        self.left_out: set[str] = set()  # to whom nothing is said at this place of the schedule

    def missing(self) -> list[str]:
        """Name who is not in and is waited for, in site order."""
        return [site for site in self.sites if site not in self.hellos and site not in self.away]

    def without(self, some: Iterable[str]) -> list[str]:
        """Name all but some, in site order."""
        some = set(some)
        return [site for site in self.sites if site not in some]

    def resumable(self, site: str) -> bool:
        """Say whether a site's conversation may go on over another connection."""
        entered = site in self.hellos and self.hellos[site].session != 0
        return entered and self.welcomed and site in self.routes and site not in self.lost | self.away

    def breaks(self, site: str) -> bool:
        """Note that a site's connection is no more; say whether it may go on over another."""
        if self.resumable(site):
            self.cut.setdefault(site, time.monotonic())
            return True
        self.lost.add(site)
        return False

    def ended(self, routes: Sequence[bytes]) -> set[str]:
        """Note which connections ended, and who has been cut off for too long; name who was away anyway."""
        gone = {site for site, route in self.routes.items() if route in routes}
        for site in gone - self.done - self.away:
            self.breaks(site)
        late = time.monotonic() - RESUME_SECONDS
        self.lost |= {site for site, since in self.cut.items() if since < late}
        self.cut = {site: since for site, since in self.cut.items() if site not in self.lost}
        return gone & self.away

    def goes_on_over(self, site: str, route: bytes) -> None:
        """Note that a site is connected again."""
        self.routes[site] = route
        self.cut.pop(site, None)

    def replaced(self, site: str) -> bytes:
        """Note that another process of a site has come; give the connection of the one before."""
        self.cut.pop(site, None)
        self.hellos.pop(site, None)
        if self.welcomed and site not in self.away:  # before that it has nothing to go back to
            self.lost.add(site)
            self.returned.add(site)
        return self.routes.pop(site)

    def forget(self, site: str) -> None:
        """Forget a site's connection."""
        for known in (self.cut, self.routes, self.hellos):
            known.pop(site, None)

    def let_go(self) -> list[str]:
        """Wait for who is lost; name those who have no new connection yet."""
        gone = sorted(self.lost - self.returned)
        for site in self.lost:
            self.hellos.pop(site, None)
        self.returned -= self.lost
        self.lost = set()
        return gone
