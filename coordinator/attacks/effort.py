"""How hard attacks try; needs no torch."""

from typing import Final, Literal, NamedTuple

How = Literal["small", "full"]


class Effort(NamedTuple):
    """Steps of what an attacker trains or descends, and how many records slow attacks are held against."""

    decoder: int
    shadows: int
    updates: int  # iterations of a search for an update's records, over its steps
    members: int  # of TabLeak's ensemble
    batches: int  # that one gradient each is inverted of
    descent: int  # iterations of inversions of activations
    pseudo_client: int
    hijacking: int
    records: int


EFFORTS: Final[dict[How, Effort]] = {
    "small": Effort(
        decoder=300, shadows=8, updates=100, members=3, batches=1, descent=100, pseudo_client=150,
        hijacking=150, records=32,
    ),
    "full": Effort(
        decoder=3000, shadows=32, updates=1500, members=8, batches=4, descent=1500, pseudo_client=2000,
        hijacking=2000, records=256,
    ),
}  # fmt: skip
