"""Which sources of records there are; the loaders themselves are at the sites."""

from typing import Final, NamedTuple


class Loader(NamedTuple):
    """A source's module, what it gives, and whether its records are dealt to sites first."""

    module: str
    gives: str
    dealt: bool


SOURCES: Final[dict[str, Loader]] = {
    "breast_cancer": Loader("sites.datasets.breast_cancer", "table", dealt=True),
    "chest_xray_synthetic": Loader("sites.datasets.chest_xray_synthetic", "image", dealt=True),
    "heart": Loader("sites.datasets.heart", "table", dealt=False),
}
