"""What tests of loaders prepare, and what was found unusable."""

from coordinator.config import Split
from coordinator.specs import Preparation


def preparation_of(site, data, *, min_patients):
    """Say how one site's records of such data are prepared."""
    return Preparation(
        site=site, data=data, modalities=data.modalities, split=Split(), split_seed=0,
        min_patients=min_patients, min_cell=5,
    )  # fmt: skip


def found(rejected):
    """Give file, row and reason of what was quarantined."""
    return {(each.file, each.row, each.reason) for each in rejected}
