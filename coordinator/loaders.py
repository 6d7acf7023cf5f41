"""Which sources of records there are; the loaders themselves are at the sites."""

from typing import Final, Literal, NamedTuple

from coordinator.config import Data, Modality, Site, Task
from coordinator.errors import ConfigError
from coordinator.models.catalog import entry

Sharing = Literal["generated", "by_site", "either"]


class Loader(NamedTuple):
    """A source's module, what its records can hold, and whose its files are.

    `generated`: it needs no file, its records are dealt to sites; `by_site`: each hospital has its own
    file; `either`: that, or one file or folder of all sites (`data.path`), divided before each is prepared.
    `outcomes` are what it can predict, the first by default.
    """

    module: str
    gives: tuple[Modality, ...]
    files: Sharing
    outcomes: tuple[str, ...] = ()


ANY: Final = ("*",)  # whatever outcome its files hold

SOURCES: Final[dict[str, Loader]] = {
    "breast_cancer": Loader("sites.datasets.breast_cancer", ("table",), "generated"),
    "heart": Loader("sites.datasets.heart", ("table",), "by_site"),
    "table": Loader("sites.datasets.table", ("table",), "either"),
    "eicu": Loader("sites.datasets.eicu", ("table",), "either", ("mortality",)),
    "hourly": Loader("sites.datasets.hourly", ("table", "series"), "either", ("mortality", "aki", "sepsis")),
    "physionet2012": Loader("sites.datasets.physionet2012", ("table", "series"), "either", ("mortality",)),
    "meds": Loader("sites.datasets.meds", ("table", "series"), "either", ANY),
    "dicom": Loader("sites.datasets.dicom", ("table", "image"), "either"),
    "image_folder": Loader("sites.datasets.image_folder", ("table", "image"), "either"),
    "medmnist": Loader("sites.datasets.medmnist", ("image",), "either"),
    "network": Loader("sites.datasets.network", ("table", "series", "image"), "generated"),
}


def is_dealt(data: Data) -> bool:
    """Say whether a source's records are divided before each site's are prepared."""
    return SOURCES[data.source].files == "generated" or data.path is not None


def classes_of(data: Data) -> tuple[str, ...]:
    """Name the classes of an outcome by number where there are more than two, else none."""
    return data.columns.classes if data.columns else ()


def modalities_of(name: str, task: Task) -> tuple[Modality, ...]:
    """Say what of each record is read: what the source gives, the task asks for and the model can use.

    Raises:
        ConfigError: nothing, or not what the model needs.
    """
    source, data = SOURCES[task.data.source], task.data
    for wanted in data.modalities:
        if wanted not in source.gives:
            raise ConfigError(
                f"'{data.source}' has no {wanted}; it gives {', '.join(source.gives)}",
                key=f"tasks.{name}.data.modalities",
            )
    reads = entry(task.model, f"tasks.{name}.model.name").reads
    asked = data.modalities or source.gives
    found = tuple(modality for modality in source.gives if modality in asked and modality in reads)
    one_only = len(reads) == 1
    if not found or (one_only and data.modalities and found != data.modalities):
        raise ConfigError(
            f"'{task.model.name}' reads {' or '.join(reads)}, '{data.source}' gives {', '.join(asked)}",
            key=f"tasks.{name}.model",
        )
    return found


def selection_of(site: Site, source: str) -> tuple[str, ...]:
    """Say what a source calls a site where one file holds all sites' records; by default its name."""
    return site.select.get(source, (site.name,))
