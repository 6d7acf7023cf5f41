"""``python -m coordinator export``: a finished run's whole model as one folder, where it can have one.

What is in it: `model.safetensors`, `model.json` (what it is), `statistics.json` (how its inputs are
normalised) and `README.md`, a model card. Who holds a whole model follows from the strategy; where a site's
part is needed, that site gives its file (``--part``), and nothing is taken that was not given.
"""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors.torch import save

from coordinator import final_model, model_card
from coordinator.errors import ConfigError
from coordinator.exported import ABOUT, CARD, MODEL, STATISTICS, Exported, statistics_of, whole_party
from coordinator.final_model import FinalModel
from coordinator.folders import replaced
from coordinator.model_files import Tensors, checked_parts
from coordinator.protocol.keys import COORDINATOR
from coordinator.specs import POOLED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add = parser.add_argument
    add("--run", type=Path, required=True, help="a finished run: results/STUDY/runs/TASK/STRATEGY/SEED")
    add("--part", type=Path, help="the file with a site's parts, which that site gives: SITE.safetensors")
    add("--out", type=Path, required=True, help="folder to write, new or empty")
    add("--results", type=Path, help="the study's results folder; by default the one the run lies in")


def run(options: argparse.Namespace) -> int:
    """Export, and say what was written."""
    model = final_model.read(options.run)
    results = options.results or final_model.results_of(options.run)
    given = gathered(model, options.run, options.part)
    path = results / "statistics" / model.run.task / str(model.run.seed) / STATISTICS
    statistics = statistics_of(path, model.statistics)
    if options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        raise ConfigError(f"{options.out}: exists and is not an empty folder; name a new one")
    write(model, given, statistics, results, options.out)
    print(f"exported {model.run.strategy} of {model.run.task}, parts of {' and '.join(given)}: {options.out}")
    return 0


def gathered(model: FinalModel, folder: Path, part: Path | None) -> dict[str, Tensors]:
    """Read the parts that make the whole model, by party.

    Raises:
        ConfigError: there is no whole model, or a part that is needed was not given, or is another.
    """
    whole = model.whole
    if not whole.possible:
        raise ConfigError(f"{folder}: '{model.run.strategy}' has no whole model to export: {whole.why}")
    own = {"coordinator": COORDINATOR, "pooled": POOLED}
    files = [folder / final_model.part_file(own[each]) for each in whole.needs if each in own]
    if "site" in whole.needs:
        files.append(_given(model, folder, part))
    elif part is not None:
        raise ConfigError(f"--part {part}: not needed: {whole.why}; leave it out")
    found: dict[str, Tensors] = {}
    for path in files:
        what, tensors = checked_parts(path, model)
        found[what.party] = tensors
    if "site" in whole.needs and not set(found) & set(model.run.sites):
        raise ConfigError(f"--part {part}: not a site's file; name one of {', '.join(_sites(model))}")
    return found


def write(
    model: FinalModel, given: dict[str, Tensors], statistics: dict[str, Any], results: Path, out: Path
) -> None:
    """Write the folder whole or not at all.

    Raises:
        ConfigError: the parts do not make a whole model.
    """
    tensors = {
        name: value for parts in given.values() for part in parts.values() for name, value in part.items()
    }
    party = whole_party(model.run, model.input_shapes, tensors)
    content = save(tensors)
    what = Exported(
        run=model.run, sha256=hashlib.sha256(content).hexdigest(), statistics=model.statistics,
        input_shapes=model.input_shapes, sources={name: model.holders[name] for name in given},
    )  # fmt: skip
    card = model_card.card(what, party.parts["model"], statistics, model_card.measured(results, model.run))
    with replaced(out) as partial:
        (partial / MODEL).write_bytes(content)
        (partial / ABOUT).write_text(what.model_dump_json(indent=1) + "\n", encoding="utf-8")
        (partial / STATISTICS).write_text(json.dumps(statistics, indent=1) + "\n", encoding="utf-8")
        (partial / CARD).write_text(card, encoding="utf-8")


def _given(model: FinalModel, folder: Path, part: Path | None) -> Path:
    if part is not None:
        return part
    names = ", ".join(f"{folder / model.files[site]}" for site in _sites(model))
    raise ConfigError(
        f"{folder}: {model.whole.why}; a site that agrees gives its file: --part FILE, one of {names}"
    )


def _sites(model: FinalModel) -> list[str]:
    return [party for party in model.holders if party != COORDINATOR]
