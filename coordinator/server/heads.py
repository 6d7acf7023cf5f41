"""What the coordinator keeps of the sites' ledgers, commit by commit, and tells them: a chain of its own.

At a commit each site signs its ledger's head, the hash of its last line. The coordinator's own head hashes
the one before and all of these; its signature under it goes back and stands in each site's ledger. So who
rewrites or cuts off either side has the other side's record against it.
"""

import json
from typing import Any

from coordinator.protocol.keys import COORDINATOR
from coordinator.protocol.messages import Committed, Kept
from coordinator.protocol.signing import COMMITTED, KEPT, START, Signer, next_head

Row = dict[str, Any]


class Heads:
    """Each site's ledger at each commit, and the coordinator's chain over them."""

    def __init__(self, signer: Signer | None = None) -> None:
        """Know none; without a signer nothing is signed and nothing checked."""
        self.by_site: dict[str, list[str]] = {}
        self.rows: list[Row] = []
        self._signer = signer
        self._heads: dict[str, str] = {}
        self._signatures: dict[str, str] = {}

    def state(self) -> dict[str, Any]:
        """Give them."""
        rows = [json.dumps(row) for row in self.rows]
        return {"by_site": {site: list(heads) for site, heads in self.by_site.items()}, "rows": rows}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from these."""
        self.by_site = {site: list(heads) for site, heads in state["by_site"].items()}
        self.rows = [json.loads(row) for row in state["rows"]]
        self._heads, self._signatures = {}, {}

    def hear(self, site: str, said: Committed) -> None:
        """Keep a site's head.

        Raises:
            ProtocolError: it did not sign it.
        """
        if self._signer:
            self._signer.check(site, said.signature, COMMITTED, site, said.number, said.ledger)
        self._heads[site], self._signatures[site] = said.ledger, said.signature
        self.by_site.setdefault(site, []).append(said.ledger)

    def close(self, number: int) -> None:
        """Chain what was heard at a commit to what was heard before."""
        row: Row = {"number": number, "heads": self._heads, "signatures": self._signatures}
        self.rows.append({**row, "head": next_head(self.rows[-1]["head"] if self.rows else START, row)})
        self._heads, self._signatures = {}, {}

    def receipt(self, site: str) -> Kept:
        """Give what a site is told of the last commit."""
        row = self.rows[-1]
        number, head = row["number"], row["head"]
        signed = ""
        if self._signer and site in row["heads"]:
            signed = self._signer.sign(KEPT, COORDINATOR, number, site, row["heads"][site], head)
        return Kept(number, head, signed)
