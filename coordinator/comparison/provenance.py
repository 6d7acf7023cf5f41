"""What made these results: versions, config, hashes, machine, walls, date. No name of a host or user."""

import hashlib
import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from coordinator import __version__
from coordinator.comparison import cohort
from coordinator.comparison.predictions import folder_of
from coordinator.sources import PACKAGES, ROOT
from coordinator.specs import Evaluation, digest

DISTRIBUTIONS: Final = {
    "torch": "torch", "snakemake": "snakemake", "zmq": "pyzmq", "numpy": "numpy", "scipy": "scipy",
    "sklearn": "scikit-learn", "pyarrow": "pyarrow", "pydicom": "pydicom",
}  # fmt: skip


def provenance(spec: Evaluation, results: Path) -> dict[str, Any]:
    """Gather everything a reader needs to know where the numbers come from; not where its files lay."""
    study = spec.study.model_copy(update={"data_root": None})
    return {
        "study": spec.study.name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "machine": machine(),
        "arithmetic": arithmetic(spec, results),
        "isolation": isolation(spec, results),
        "config": study.model_dump(mode="json"),
        "sites": {name: site.model_dump(mode="json") for name, site in spec.sites.items()},
        "hashes": {
            "specification": digest(spec.model_copy(update={"study": study})),
            "code": code_hashes(),
            "images": inside(spec, results, "images"),
            "layers": inside(spec, results, "layers"),
            "prepared": cohort.hashes(spec),
            "weights": {key: _weights(results, spec, key) for key in spec.runs},
        },
    }


def arithmetic(spec: Evaluation, results: Path) -> list[dict[str, Any]]:
    """Give each way in which the runs computed; more than one means their bits may differ."""
    files = [folder_of(results, run) / "arithmetic.json" for run in spec.runs.values()]
    found = {path.read_text(encoding="utf-8") for path in files if path.is_file()}
    return [json.loads(text) for text in sorted(found)]


def versions() -> dict[str, str]:
    """Name the versions of what computed."""
    found = {"suture": __version__, "python": platform.python_version()}
    for name, distribution in DISTRIBUTIONS.items():
        try:
            found[name] = version(distribution)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine() -> dict[str, Any]:
    """Describe processor, cores and memory (bytes)."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.machine()}",
    }


def isolation(spec: Evaluation, results: Path) -> dict[str, Any]:
    """Say in which walls the runs' parties ran: one level if all agree, and each run's own."""
    found = _walls(spec, results)
    runs = {key: str(walls.get("isolation", "unknown")) for key, walls in found.items()}
    levels = sorted(set(runs.values()))
    return {"level": levels[0] if len(levels) == 1 else f"mixed ({'; '.join(levels)})", "runs": runs}


def inside(spec: Evaluation, results: Path, kind: str) -> dict[str, list[str]]:
    """Name the content hashes of images, or sites' layers, of runs; more than one where one was rebuilt."""
    found: dict[str, set[str]] = {}
    for walls in _walls(spec, results).values():
        for name, content in walls.get(kind, {}).items():
            found.setdefault(name, set()).add(str(content))
    return {name: sorted(contents) for name, contents in sorted(found.items())}


def code_hashes() -> dict[str, str]:
    """Hash each package's source files (sha256 over sorted lines of path and content hash)."""
    return {name: _tree(ROOT / name) for name in (*PACKAGES, "workflow") if (ROOT / name).is_dir()}


def _tree(folder: Path) -> str:
    files = [
        path for path in folder.rglob("*") if path.suffix in {".py", ".smk", ".j2", ".css"} and path.is_file()
    ]
    lines = [f"{path.relative_to(ROOT).as_posix()} {_sha256(path)}\n" for path in files]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _walls(spec: Evaluation, results: Path) -> dict[str, dict[str, Any]]:
    return {key: _read(folder_of(results, run) / "isolation.json") for key, run in spec.runs.items()}


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _weights(results: Path, spec: Evaluation, key: str) -> str | None:
    path = folder_of(results, spec.runs[key]) / "weights.sha256"
    return path.read_text(encoding="utf-8").split()[0] if path.is_file() and path.stat().st_size else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
