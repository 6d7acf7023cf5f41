"""What each strategy's label stands for, task by task."""

from collections.abc import Mapping

from coordinator.comparison.estimates import Rows
from coordinator.specs import Evaluation, Run


def variant_rows(spec: Evaluation) -> Rows:
    """List the settings behind each label."""
    first = {(run.task, run.strategy): run for run in reversed(spec.runs.values())}
    return [_row(run, spec.identical) for run in reversed(first.values())]


def _row(run: Run, identical: dict[str, str]) -> dict[str, object]:
    training = run.training.model_dump()
    training["clip"] = run.training.clip and f"{run.training.clip.norm} {run.training.clip.scope}"
    training["epochs_by_site"] = _by_site(run.training.epochs_by_site)
    training["learning_rates"] = " ".join(map(str, run.training.learning_rates))
    return {
        "task": run.task, "strategy": run.strategy, "preset": run.preset, "algorithm": run.algorithm,
        **{axis: getattr(run, axis) for axis in _axes(run)},
        "participation": "as recorded" if run.recorded else run.participation,
        "join": _by_site(run.join), "leave": _by_site(run.leave),
        "site_weights": run.site_weights, "adapt": run.adapt,
        "secure_aggregation": run.secure_aggregation, "privacy": _defences(run),
        "cut": " ".join(run.cut), "model": run.model.name, **training,
        "identical_to": identical.get(f"{run.task}/{run.strategy}"),
    }  # fmt: skip


def _defences(run: Run) -> str:
    """Name the defences that are on, with their settings."""
    found = run.privacy.model_dump(exclude_defaults=True, exclude_none=True)
    return " ".join(f"{name} {_settings(value)}" for name, value in found.items())


def _settings(value: object) -> str:
    if isinstance(value, dict):
        return "(" + " ".join(f"{key} {each}" for key, each in value.items()) + ")"
    return str(value)


def _by_site(numbers: Mapping[str, int]) -> str:
    return " ".join(f"{site}:{number}" for site, number in numbers.items())


def _axes(run: Run) -> tuple[str, ...]:
    """Name the axes that mean something for a run; the others stay empty."""
    if run.algorithm == "split":
        ordered = ("turn", "order", "interleave") if run.back == "single" else ()
        averaged = ("optimizer_state",) if "averaged" in (run.site_parts, run.back) else ()
        return ("labels", "site_parts", "back", *ordered, *averaged)
    if run.algorithm == "federated":
        return ("rule", "optimizer_state", "proximal_mu", "server_rate")
    return ("batches",) if run.preset == "centralized" else ()
