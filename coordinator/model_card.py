"""A model card in Markdown (Mitchell 2019): what a model is for, how it was made, and how well it did."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coordinator.exported import Exported
from coordinator.models.stages import Part
from coordinator.specs import Run
from coordinator.statistics import columns

LOAD = "python -c \"from coordinator.exported import load; model, about = load('.'); print(model)\""
Rows = list[dict[str, str]]


def measured(results: Path, run: Run) -> Rows:
    """Read what the comparison says of a run; nothing where the study was not compared yet."""
    path = results / "comparison.csv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = {"task": run.task, "strategy": run.strategy, "seed": str(run.seed)}
    return [row for row in rows if all(row.get(name) == value for name, value in wanted.items())]


def card(what: Exported, model: Part, statistics: Mapping[str, Any], rows: Rows) -> str:
    """Write the card."""
    run = what.run
    sections = [
        f"# {run.study}: {run.task}, trained by `{run.strategy}`",
        _intended(run),
        "## Patients\n\n" + _cohort(run, statistics),
        "## Training\n\n" + _training(run, model),
        "## Inputs and output\n\n" + _inputs(what, statistics),
        "## Test results\n\n" + _results(rows),
        "## Loading\n\n" + _loading(),
        "## Hashes\n\n" + _hashes(what),
    ]
    return "\n\n".join(sections) + "\n"


def _intended(run: Run) -> str:
    return (
        "## Intended use and limits\n\n"
        f"A model of one outcome (task `{run.task}` of study `{run.study}`), made to compare ways of "
        "training one model over several hospitals. It is **not a medical device**, was validated on no "
        "patient beyond those listed below, and is no basis for a decision about a patient.\n\n"
        "- It expects records as its study prepared them: the same features, in the same units, measured "
        "until the same time of prediction.\n"
        "- At a hospital that is not listed, expect it to do worse, and its probabilities to be off; measure "
        "both there first.\n"
        "- A model can give away some of what it was trained on; whoever holds this folder can try."
    )


def _cohort(run: Run, statistics: Mapping[str, Any]) -> str:
    names = ("train", "validation", "test")
    counts = [(site, *(statistics["sites"][site].get(name) for name in names)) for site in run.sites]
    return _table(["site", *(f"{name} records" for name in names)], counts)


def _training(run: Run, model: Part) -> str:
    split = run.algorithm == "split"
    settings = {
        "strategy": f"{run.strategy} (preset {run.preset})",
        "seed": run.seed,
        "cut after": " and ".join(run.cut),
        **({axis: getattr(run, axis) for axis in ("labels", "site_parts", "back", "turn")} if split else {}),
        **({"server rule": run.rule} if run.algorithm == "federated" else {}),
        "participation": run.participation,
        "site weights": run.site_weights,
        **({"adapted to its site": f"{run.adapt} epochs"} if run.adapt else {}),
        **{f"model.{name}": value for name, value in run.model.model_dump().items()},
        **{f"training.{name}": value for name, value in run.training.model_dump().items()},
        "parameters": sum(each.numel() for each in model.parameters()),
    }
    return _table(
        ["setting", "value"], [(name, _words(each)) for name, each in settings.items() if each != ""]
    )


def _inputs(what: Exported, statistics: Mapping[str, Any]) -> str:
    shapes = _table(["modality", "shape of a record"], [(n, _words(s)) for n, s in what.input_shapes.items()])
    text = f"{shapes}\n\nThe output is a logit; its sigmoid is the probability of the outcome."
    if classes := what.run.classes:
        names = ", ".join(f"`{name}`" for name in classes)
        text = f"{shapes}\n\nThe output is a logit for each class, whose softmax is its probability: {names}."
    if "table" in what.input_shapes:
        text += (
            f"\n\nColumns of the table, in order: {', '.join(f'`{name}`' for name in columns(statistics))}."
        )
    if variables := [each["name"] for each in statistics["series"]]:
        text += f"\n\nVariables of the series: {', '.join(f'`{name}`' for name in variables)}."
    return text + "\n\n`statistics.json` has the mean and standard deviation each is normalised with."


def _results(rows: Rows) -> str:
    if not rows:
        return "Not compared yet: no comparison.csv had this run when the model was exported."
    cells = [
        (row["site"], row["metric"], _value(row), row["n"])
        for row in rows
    ]  # fmt: skip
    note = (
        "On frozen test patients, who took no part in training or selection; intervals (95 %) are over "
        "patients. `all` ranks the patients of all sites together, `stratified` averages the sites."
    )
    return f"{note}\n\n{_table(['site', 'metric', 'value', 'n'], cells)}"


def _value(row: Mapping[str, str]) -> str:
    if not row["value"]:
        return "not available"
    if not row["ci_low"]:
        return f"{float(row['value']):.3f}"
    return f"{float(row['value']):.3f} ({float(row['ci_low']):.3f} to {float(row['ci_high']):.3f})"


def _loading() -> str:
    return (
        f"With Suture's environment active, in this folder:\n\n    {LOAD}\n\n"
        "New records, as raw files of the study's source or as a prepared folder:\n\n"
        "    python -m sites predict --model . --input FILE --spec PREPARATION --out predictions.csv\n"
        "    python -m sites predict --model . --prepared FOLDER --out predictions.csv\n\n"
        "Without Suture, `model.safetensors` holds plain named tensors (safetensors; nothing is executed on "
        "loading)."
    )


def _hashes(what: Exported) -> str:
    parts = [
        (party, part, ", ".join(held.stages), f"`{held.sha256}`")
        for party, each in what.sources.items()
        for part, held in each.items()
    ]
    return (
        f"- `model.safetensors`, sha256: `{what.sha256}`\n"
        f"- normalisation, sha256: `{what.statistics}`\n\n"
        + _table(["from", "part", "stages", "sha256"], parts)
    )


def _table(heads: list[str], rows: list[tuple[Any, ...]]) -> str:
    lines = [[*map(_cell, line)] for line in (heads, ["---"] * len(heads), *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def _words(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
