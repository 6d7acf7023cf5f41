"""Holds attacks against their references on the settings of ``config/studies/attack_references.yaml``.

``make references`` trains that study's runs, makes these attacks alone with the steps of `audit: full` and
prints what each reached; it fails where one that the catalog calls validated misses. References and
tolerances are those of the study's head. ``python -m tests.bench.references TASK...`` takes some tasks alone.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from coordinator import specs
from coordinator.attacks.catalog import GROUP_NORM, is_validated
from coordinator.attacks.effort import EFFORTS, Effort
from coordinator.specs import Audit
from coordinator.statistics import read_statistics
from sites.attacked import Attacked, Rows
from sites.audit import hospital_of, read_run
from sites.label_attacks import label_rows
from sites.reconstruction import ATTACKS
from sites.scene import scene_of
from sites.update_attacks import gradient_rows

ROOT = Path(__file__).resolve().parents[2]
STUDY = "config/studies/attack_references.yaml"
RESULTS = ROOT / "results" / "attack_references"
STATE = ROOT / "state" / "attack_references"


ON_UPDATES = ("tableak",)


class Reference(NamedTuple):
    """Where an attack is measured, by what, its source's result and how far below it may fall."""

    attack: str
    task: str
    target: str
    measure: str
    reported: float
    tolerance: float


REFERENCES = (
    Reference("tableak", "heart", "table from a gradient of 8", "features_recovered", 0.95, 0.05),
    Reference("unsplit_labels", "breast_cancer", "labels from gradients", "accuracy", 1.00, 0.05),
    Reference("pseudo_client", "breast_cancer", "labels of test records", "accuracy", 0.93, 0.05),
    Reference("decoder", "radiographs", f"image {GROUP_NORM}", "psnr", 38.0, 3.0),
    Reference("decoder", "radiographs", f"image {GROUP_NORM}", "ssim", 0.99, 0.05),
    Reference("white_box", "radiographs", f"image {GROUP_NORM}", "psnr", 38.0, 3.0),
    Reference("white_box", "radiographs", f"image {GROUP_NORM}", "ssim", 0.99, 0.05),
    Reference("decoder", "radiographs_batch_norm", "image", "psnr", 41.8, 3.0),
    Reference("decoder", "radiographs_batch_norm", "image", "ssim", 0.995, 0.05),
    Reference("white_box", "radiographs_batch_norm", "image", "psnr", 41.8, 3.0),
    Reference("white_box", "radiographs_batch_norm", "image", "ssim", 0.995, 0.05),
)


def attack(attacked: Attacked, name: str, effort: Effort) -> Rows:
    """Make one attack on a run; its rows, with others of its kind where they come together."""
    if name in ATTACKS:
        scene = scene_of(attacked)
        return ATTACKS[name][0](attacked, scene, effort, name, "") if scene else []
    kinds: dict[str, Callable[[Attacked, Effort], Rows]]
    kinds = {"tableak": gradient_rows, "unsplit_labels": label_rows}
    return kinds[name](attacked, effort)


def found_in(task: str, spec: Audit) -> dict[tuple[str, ...], dict[str, Any]]:
    """Attack a task's runs as far as there is a reference: rows by (task, attack, target, measure)."""
    torch.set_num_threads(spec.threads)
    statistics = read_statistics(RESULTS / "statistics" / task / str(spec.seed) / "statistics.json")
    first = next(iter(spec.runs.values()))
    hospitals = [hospital_of(first, statistics, site) for site in first.sites]
    options = argparse.Namespace(results=RESULTS, state=STATE)
    found = {}
    for run in spec.runs.values():
        federated = run.algorithm == "federated"
        attacked = read_run(run, statistics, hospitals, options, gallery=False)
        for name in dict.fromkeys(each.attack for each in REFERENCES if each.task == task):
            if federated != (name in ON_UPDATES):
                continue
            began = time.monotonic()
            rows = attack(attacked, name, EFFORTS[spec.effort])
            found |= {
                (task, name, row["target"], row["measure"]): row for row in rows if row["attack"] == name
            }
            print(f"{task}, {run.strategy}: {name} in {time.monotonic() - began:.0f} s", flush=True)
    return found


def missed(found: dict[tuple[str, ...], dict[str, Any]], tasks: list[str]) -> list[Reference]:
    """Print every attack beside its reference; give those that are called validated and are not."""
    wrong = []
    for each in REFERENCES:
        if each.task not in tasks:
            continue
        row = found[each.task, each.attack, each.target, each.measure]
        reached = row["value"] >= each.reported - each.tolerance
        called = is_validated(each.attack, each.target)
        print(
            f"{each.attack:15} {each.task:22} {each.measure:20} {row['value']:7.3f} ({row['ci_low']:.3f} to "
            f"{row['ci_high']:.3f}, trivial {row['baseline']:.3f}, n {row['n']}; reported {each.reported:g}, "
            f"tolerance {each.tolerance:g}): {'reached' if reached else 'missed'}, called "
            f"{'validated' if called else 'not validated'}"
        )
        wrong += [each] if called and not reached else []
    return wrong


def planned(settings: list[str]) -> dict[str, Any]:
    """Give the study's plan."""
    plan = RESULTS.parent / "attack_references.plan.json"
    plan.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "coordinator", "check", STUDY, *(f"--set={each}" for each in settings)]
    subprocess.run([*command, "--plan", str(plan)], cwd=ROOT, check=True)
    read: dict[str, Any] = json.loads(plan.read_text(encoding="utf-8"))
    return read


def main() -> int:
    """Train the runs, attack them, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", help="of the study; all where none is named")
    every = list(dict.fromkeys(each.task for each in REFERENCES))
    tasks = parser.parse_args().tasks or every
    settings = [f"data_root={os.environ.get('SUTURE_DATA_ROOT', 'data')}"]
    audits = {task: planned(settings)["audits"][f"{task}/0"] for task in tasks}
    runs = [
        f"results/attack_references/runs/{run}/weights.sha256"
        for task in tasks
        for run in audits[task]["runs"]
    ]
    command = [sys.executable, "-m", "snakemake", "--configfile", STUDY, "--config", *settings, "--", *runs]
    subprocess.run(command, cwd=ROOT, check=True)
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for task in tasks:
        found |= found_in(task, specs.read(Audit, ROOT / audits[task]["spec"]))
    return 1 if missed(found, tasks) else 0


if __name__ == "__main__":
    raise SystemExit(main())
