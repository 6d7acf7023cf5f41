"""What the coordinator keeps of the sites' ledgers, commit by commit, and tells them: a chain of its own.

At a commit each site signs its ledger's head, the hash of its last line. The coordinator's own head hashes
the one before and all of these; its signature under it goes back and stands in each site's ledger. So who
rewrites or cuts off either side has the other side's record against it.
"""

from pathlib import Path
from typing import Any

from coordinator.protocol.keys import COORDINATOR
from coordinator.protocol.messages import Committed, Kept
from coordinator.protocol.signing import COMMITTED, KEPT, START, Signer, next_head
from coordinator.server.rows import Row, Rows


class Heads:
    """Each site's ledger at each commit, and the coordinator's chain over them."""

    def __init__(self, signer: Signer | None = None, path: Path | None = None) -> None:
        """Know none; without a signer nothing is signed and nothing checked, without a file all is held."""
        self.rows = Rows(path)
        self._signer = signer
        self._heads: dict[str, str] = {}
        self._signatures: dict[str, str] = {}

    def by_site(self) -> dict[str, list[str]]:
        """Give the heads of each site's ledger, commit by commit."""
        found: dict[str, list[str]] = {}
        for row in self.rows:
            for site, head in row["heads"].items():
                found.setdefault(site, []).append(head)
        return found

    def state(self) -> dict[str, Any]:
        """Give them."""
        return self.rows.state()

    def load(self, state: dict[str, Any]) -> None:
        """Go on from these."""
        self.rows.load(state)
        self._heads, self._signatures = {}, {}

    def hear(self, site: str, said: Committed) -> None:
        """Keep a site's head.

        Raises:
            ProtocolError: it did not sign it.
        """
        if self._signer:
            self._signer.check(site, said.signature, COMMITTED, site, said.number, said.ledger)
        self._heads[site], self._signatures[site] = said.ledger, said.signature

    def close(self, number: int) -> None:
        """Chain what was heard at a commit to what was heard before."""
        row: Row = {"number": number, "heads": self._heads, "signatures": self._signatures}
        before = self.rows.last()
        self.rows.add({**row, "head": next_head(before["head"] if before else START, row)})
        self._heads, self._signatures = {}, {}

    def receipt(self, site: str) -> Kept:
        """Give what a site is told of the last commit."""
        row = self.rows.last()
        assert row is not None  # a commit was closed
        number, head = row["number"], row["head"]
        signed = ""
        if self._signer and site in row["heads"]:
            signed = self._signer.sign(KEPT, COORDINATOR, number, site, row["heads"][site], head)
        return Kept(number, head, signed)
