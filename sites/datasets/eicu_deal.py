"""One eICU folder to a folder of the same tables per site, by region or by hospital."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from coordinator.config import Site
from coordinator.errors import ConfigError, DataError
from coordinator.loaders import selection_of
from coordinator.specs import Deal
from sites.datasets.eicu_tables import STAY, TABLES, blocks, check_tables, file_of, spelling
from sites.divide import divide_rows
from sites.owners import owner, owners

HOSPITAL: Final = "hospitalid"
UNKNOWN: Final = "unknown"  # the region of a hospital that names none
BY: Final = ("region", "hospital")


class Places(NamedTuple):
    """Where stays were: each stay's hospital, each hospital's region, and whose each patient's stays are."""

    hospital: dict[str, str]
    region: dict[str, str]
    patient: dict[str, str]


def deal(spec: Deal, out: Path) -> None:
    """Write each site's rows of every table to `out`/SITE/, as they are.

    A site selects regions (Midwest, ..., unknown) or numbers of hospitals, which go first. A row whose stay
    `patient` does not have is nobody's. A patient with stays at several sites is a patient of each: counted
    and printed, for such a patient can stand on two sides of the split.

    Raises:
        DataError: a table is missing or damaged, or a site gets no stay.
    """
    folder = Path(str(spec.path))
    check_tables(folder)
    places, taken = read_places(folder), owners(spec.sites, spec.data.source)
    at = {
        hospital: owner(taken, (hospital, region_of(places, hospital)))
        for hospital in {*places.hospital.values(), *places.region}
    }
    stays = {stay: at[hospital] for stay, hospital in places.hospital.items()}
    _check(folder, spec.sites, spec.data.source, Counter(stays.values()))
    _warn(places, stays)
    names = [site.name for site in spec.sites]
    for table in TABLES:
        path = file_of(folder, table)
        if path is not None:
            key, whose = (HOSPITAL, at) if table in ("patient", "hospital") else (STAY, stays)
            column = spelling(path, (key,))[key]
            divide_rows(path, column, partial(_of, whose), names, out)


def groups(path: Path, by: str) -> dict[str, int]:
    """Count the stays of each region or hospital, in the order of their names (numbers by size).

    Raises:
        ConfigError: eICU is not grouped by this.
        DataError: a table is missing or damaged.
    """
    if by not in BY:
        raise ConfigError(f"eicu is grouped by {' or '.join(BY)}, not by '{by}'; correct --by")
    places = read_places(path)
    counts = Counter(
        hospital if by == "hospital" else region_of(places, hospital) for hospital in places.hospital.values()
    )
    return dict(sorted(counts.items(), key=lambda pair: (len(pair[0]) if by == "hospital" else 0, pair[0])))


def read_places(folder: Path) -> Places:
    """Read where each stay was.

    Raises:
        DataError: `patient` or `hospital` is missing or damaged.
    """
    for table in ("patient", "hospital"):
        if file_of(folder, table) is None:
            raise DataError(f"{folder}: no {table}.csv.gz (nor .csv); it says where each stay was")
    hospital, region, patient = dict[str, str](), dict[str, str](), dict[str, str]()
    for block in blocks(folder, "patient", (STAY, HOSPITAL, "uniquepid")):
        cells = block[[STAY, HOSPITAL, "uniquepid"]].fillna("").apply(lambda column: column.str.strip())
        hospital |= dict(zip(cells[STAY], cells[HOSPITAL], strict=True))
        patient |= dict(zip(cells[STAY], cells["uniquepid"], strict=True))
    for block in blocks(folder, "hospital", (HOSPITAL, "region")):
        cells = block[[HOSPITAL, "region"]].fillna("").apply(lambda column: column.str.strip())
        region |= dict(zip(cells[HOSPITAL], cells["region"], strict=True))
    return Places(hospital, region, patient)


def region_of(places: Places, hospital: str) -> str:
    """Name a hospital's region; one that the table lacks, or without a region, is `UNKNOWN`."""
    return places.region.get(hospital) or UNKNOWN


def _of(whose: dict[str, str | None], cell: str) -> str | None:
    return whose.get(cell.strip())


def _check(folder: Path, sites: tuple[Site, ...], source: str, found: Counter[str | None]) -> None:
    for site in sites:
        if not found[site.name]:
            words = ", ".join(f"'{word}'" for word in selection_of(site, source))
            raise DataError(
                f"{folder}: no stay of site '{site.name}', which takes {words}; expected regions (Midwest, "
                f"Northeast, South, West, {UNKNOWN}), numbers of hospitals, or '*' for the rest; correct "
                f"`select: {{{source}: [...]}}` of the site"
            )


def _warn(places: Places, stays: dict[str, str | None]) -> None:
    if left_out := sum(site is None for site in stays.values()):
        print(f"warning: patient: {left_out} of {len(stays)} stays are of no site of the task")
    pairs = {(places.patient[stay], site) for stay, site in stays.items() if site and places.patient[stay]}
    several = sum(count > 1 for count in Counter(patient for patient, _ in pairs).values())
    if several:
        print(
            f"warning: patient: {several} patients have stays at several sites, and can be trained on at one "
            "and tested at another"
        )
