"""What tests of whole studies share: the weights that a study has without any walls, and reports."""

from collections.abc import Mapping

import pytest

from tests.e2e.checkout import snakemake
from tests.system.reports import browser, federated, results
from tests.system.test_walls import WEIGHTS, study

__all__ = ["browser", "federated", "reference", "results"]


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    """Run the small study once as plain processes; gives its files of weights by path."""
    folder = tmp_path_factory.mktemp("reference") / "study"
    snakemake(folder, *study(folder, "host", rounds=2), "--", *WEIGHTS)
    return {name: (folder / name).read_bytes() for name in WEIGHTS}
