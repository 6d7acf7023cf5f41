"""A run between threads, and the files its parties leave behind."""

import json

from coordinator import final_model
from coordinator.model_files import about, write_parts
from coordinator.presets import PRESETS
from coordinator.protocol.keys import COORDINATOR
from tests.federation import a_run, federate

SIZES = (60, 25)
STATISTICS = {
    "numeric": [{"name": f"x{i}", "mean": 0.0, "std": 1.0, "missing": 0} for i in range(6)],
    "categorical": [],
    "series": [],
    "image": [],
    "input_shapes": {"table": [6]},
}


def cut_for(preset):
    axes = PRESETS[preset]
    if axes["algorithm"] != "split":
        return ()
    return ("layer1", "layer2") if axes["labels"] == "private" else ("layer1",)


def finish(folder, preset, sizes=SIZES, **changes):
    """Train, and write results as a study has them; gives the run's folder, and site to (party, logits, ...).

    The coordinator's party is under its own name.
    """
    run = a_run(preset, sizes, cut=cut_for(preset), **changes)
    coordinator, outcomes, channel = federate(run, sizes)
    counts = {
        site: {"train": n, "validation": 5, "test": 7} for site, n in zip(run.sites, sizes, strict=True)
    }
    statistics = {**STATISTICS, "sites": counts}
    lies = folder / "results" / run.study / "statistics" / run.task / str(run.seed) / "statistics.json"
    lies.parent.mkdir(parents=True, exist_ok=True)
    lies.write_text(json.dumps(statistics))
    out = folder / "results" / run.study / "runs" / run.task / run.strategy / str(run.seed)
    in_order = {name: outcomes[name] for name in run.parties}
    everyone = {COORDINATOR: (coordinator, [], [], channel), **in_order}
    hashes = {}
    for name, (party, *_) in everyone.items():
        found = write_parts(party.parts, name, out / "model", about(run, name, statistics))
        hashes |= {(name, part): value for part, value in found.items()}
    final_model.write(final_model.describe(run, statistics, hashes), out)
    return out, everyone
