"""One loader per source: ``read`` parses a site's raw files; ``deal`` writes them where a source is dealt.

``read(path, data, site) -> Reading`` and ``deal(spec, out)``; ``read_new``, as ``read``, where records to be
predicted need no outcome. A loader is imported only when its source
is used, so that a job depends on its own loader's file and on no other.
"""

from importlib import import_module
from types import ModuleType
from typing import Final

from coordinator.errors import ConfigError
from coordinator.names import nearest

DATASETS: Final[dict[str, str]] = {
    "breast_cancer": "sites.datasets.breast_cancer",
    "heart": "sites.datasets.heart",
    "table": "sites.datasets.table",
    "eicu": "sites.datasets.eicu",
    "hourly": "sites.datasets.hourly",
    "physionet2012": "sites.datasets.physionet2012",
    "meds": "sites.datasets.meds",
    "dicom": "sites.datasets.dicom",
    "image_folder": "sites.datasets.image_folder",
    "medmnist": "sites.datasets.medmnist",
    "network": "sites.datasets.network",
}


def dataset(source: str) -> ModuleType:
    """Import a source's loader.

    Raises:
        ConfigError: the source is unknown.
    """
    if source not in DATASETS:
        raise ConfigError(f"data.source: unknown source '{source}'; {nearest(source, DATASETS)}")
    return import_module(DATASETS[source])
