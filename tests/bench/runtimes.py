"""One study in every runtime that works here, and on a small Slurm: equal weights, wall times, start-up.

``make runtimes`` (STUDY=FILE for another study than the default one): minutes a row, on a quiet machine.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from containers.images.furnishing import built
from containers.runtimes import RUNTIMES, problem
from containers.sandbox import Sandbox
from tests import slurm_cluster
from tests.docker_daemon import daemon
from tests.e2e.checkout import snakemake

ROOT = Path(__file__).resolve().parent.parent.parent
REPEATS = 5


@dataclass(frozen=True)
class Way:
    """A row: a runtime, whose programs run in it, and whether jobs go to a cluster."""

    runtime: str
    images: str = "host"
    slurm: bool = False

    def __str__(self) -> str:
        """Name the row."""
        inside = {"host": "", "built": ", own images"}[self.images]
        return f"{'slurm, two nodes, ' if self.slurm else ''}{self.runtime}{inside}"


def ways(images: bool) -> Iterator[Way]:
    """Name what works here; the first, without walls, is what the others are held against."""
    for name in ("host", "bubblewrap", "apptainer", "docker"):
        if problem(name):
            continue
        yield Way(name)
        if images and RUNTIMES[name].IMAGES:
            yield Way(name, "built")
    if not slurm_cluster.missing():
        yield Way("host" if problem("apptainer") else "apptainer", slurm=True)


def start_up(way: Way) -> tuple[float, float]:
    """Give the seconds of a process that imports torch, start to end, within walls; and the host's.

    The least of some, taken in turns: other work on the machine only adds to either.
    """
    bare, own = importing(Way("host")), importing(way)
    subprocess.run(own, check=True, stdin=subprocess.DEVNULL)  # warm
    pairs = [(_seconds(own), _seconds(bare)) for _ in range(REPEATS)]
    return min(within for within, _ in pairs), min(outside for _, outside in pairs)


def importing(way: Way) -> list[str]:
    """Give the command line that imports torch within a way's walls."""
    kind = RUNTIMES[way.runtime].IMAGES
    image = str(built("site")[kind]) if way.images == "built" else None
    python = "python3" if image else sys.executable
    return RUNTIMES[way.runtime].argv(Sandbox(command=(python, "-c", "import torch"), image=image))


def weights(way: Way, study: Path, targets: list[str], cores: str) -> tuple[float, Mapping[str, str]]:
    """Run a study's training; give the seconds, and the hashes of each run's weights by path."""
    with tempfile.TemporaryDirectory(prefix="st-runtimes-", dir="/tmp") as name:
        folder = Path(name)
        (folder / "config").symlink_to(ROOT / "config")
        settings = ["--configfile", str(study), "--config", f"runtime={way.runtime}", f"images={way.images}"]
        for link in ("workflow", "profiles"):
            (folder / link).symlink_to(ROOT / link)
        where = ["--workflow-profile", "workflow/profiles/slurm"] if way.slurm else ["--cores", cores]
        began = time.monotonic()
        snakemake(folder, "-s", str(ROOT / "Snakefile"), *settings, *where, "--", *targets)
        found = folder.glob("results/*/runs/*/*/*/weights.sha256")
        return time.monotonic() - began, {str(path.relative_to(folder)): path.read_text() for path in found}


def row(way: Way, options: argparse.Namespace) -> tuple[float, Mapping[str, str]]:
    """Measure a way."""
    study = options.study.absolute()
    if not way.slurm:
        return weights(way, study, options.targets, options.cores)
    with slurm_cluster.cluster():
        return weights(way, study, options.targets, options.cores)


def main() -> int:
    """Print a line for each way; returns how many gave other weights than the first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, default=ROOT / "config" / "config.yaml")
    parser.add_argument("--cores", default="all")
    parser.add_argument("--images", action="store_true", help="in Suture's own images too (built if missing)")
    parser.add_argument(
        "--only", nargs="*", default=[], metavar="WAY", help="of the ways, the first and these"
    )
    parser.add_argument("targets", nargs="*", default=["all"])
    options = parser.parse_args()
    different, reference = 0, None
    print("study from start to end; start with torch's import (beyond the host's)", flush=True)
    with daemon():
        for way in ways(options.images):
            if reference is not None and options.only and str(way) not in options.only:
                continue
            seconds, found = row(way, options)
            taken, bare = start_up(way)
            reference = found if reference is None else reference
            equal = sum(found.get(name) == text for name, text in reference.items())
            different += equal < len(reference)
            equals = f"{equal} of {len(reference)} runs equal"
            print(
                f"{way!s:34} {seconds:7.0f} s   {equals}   torch {taken:5.2f} s ({taken - bare:+.2f})",
                flush=True,
            )
    return int(different > 0)


def _seconds(argv: list[str]) -> float:
    began = time.monotonic()
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
