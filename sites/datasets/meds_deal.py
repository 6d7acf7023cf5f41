"""One MEDS folder to a folder per site: a static code, such as SITE//north, says whose a subject is."""

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from meds import code_metadata_filepath, dataset_metadata_filepath, subject_splits_filepath

from coordinator.errors import ConfigError, DataError
from coordinator.loaders import selection_of
from coordinator.specs import Deal
from sites.datasets.meds_files import BATCH, LABELS, beginning, events, shards
from sites.owners import owner, owners

SHARED = (code_metadata_filepath, dataset_metadata_filepath)  # of the data as a whole, copied to each


def deal(spec: Deal, out: Path) -> None:
    """Write each site's subjects to `out`/SITE/, in files of the same names and columns.

    Raises:
        ConfigError: the study names no code for the site.
        DataError: a file is damaged, a subject has two sites, or a site gets no subject.
    """
    if spec.data.events is None or not spec.data.events.site:
        raise ConfigError("no code says whose a subject is; name its prefix", key="data.events.site")
    folder, taken = Path(str(spec.path)), owners(spec.sites, spec.data.source)
    at = {subject: owner(taken, [word]) for subject, word in words(folder, spec.data.events.site).items()}
    counts = Counter(at.values())
    for site in spec.sites:
        if not counts[site.name]:
            asked = ", ".join(f"'{word}'" for word in selection_of(site, spec.data.source))
            raise DataError(
                f"{folder}: no subject of site '{site.name}', which takes {asked}; correct "
                f"`select: {{{spec.data.source}: [...]}}` of the site, or data.events.site"
            )
    if counts[None]:
        print(f"warning: {folder.name}: {counts[None]} of {len(at)} subjects are of no site of the task")
    subjects = {
        site.name: pa.array([subject for subject, name in at.items() if name == site.name], pa.int64())
        for site in spec.sites
    }
    for path in _files(folder):
        _divide(path, path.relative_to(folder), subjects, out)
    for site in spec.sites:
        for name in SHARED:
            if (folder / name).exists():
                (out / site.name / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / name, out / site.name / name)


def groups(path: Path, by: str) -> dict[str, int]:
    """Count the subjects by what follows a prefix, such as SITE//, in their static code.

    Raises:
        DataError: no subject has such a code, or one has two.
    """
    return dict(sorted(Counter(words(path, by).values()).items()))


def words(folder: Path, prefix: str) -> dict[int, str]:
    """Read what follows the prefix in each subject's static code.

    Raises:
        DataError: no subject has such a code, or one has two.
    """
    found: dict[int, str] = {}
    for path in shards(folder):
        for table in events(path):
            static = table.filter(pc.is_null(table["time"]))
            static = static.filter(beginning(static["code"].combine_chunks(), [prefix]))
            for subject, code in zip(
                static["subject_id"].to_pylist(), static["code"].to_pylist(), strict=True
            ):
                if found.setdefault(subject, code[len(prefix) :]) != code[len(prefix) :]:
                    raise DataError(
                        f"{path}: a subject has two static codes {prefix}...; give each site's subjects "
                        "numbers of their own"
                    )
    if not found:
        raise DataError(
            f"{folder}: no static code (without a time) begins with '{prefix}'; correct the prefix"
        )
    return found


def _files(folder: Path) -> Iterator[Path]:
    yield from shards(folder)
    yield from sorted((folder / LABELS).rglob("*.parquet"))
    if (folder / subject_splits_filepath).exists():
        yield folder / subject_splits_filepath


def _divide(path: Path, name: Path, subjects: dict[str, pa.Array], out: Path) -> None:
    """Write the rows of each site's subjects; a site without a row in a file gets none, but of labels."""
    with ExitStack() as stack, pq.ParquetFile(path) as file:
        writers: dict[str, pq.ParquetWriter] = {}
        for batch in file.iter_batches(BATCH):
            for site, own in subjects.items():
                kept = batch.filter(
                    pc.is_in(batch.column("subject_id"), own.cast(batch.schema.field("subject_id").type))
                )
                if len(kept) and site not in writers:
                    (out / site / name).parent.mkdir(parents=True, exist_ok=True)
                    writers[site] = stack.enter_context(
                        pq.ParquetWriter(out / site / name, file.schema_arrow)
                    )
                if len(kept):
                    writers[site].write_batch(kept)
