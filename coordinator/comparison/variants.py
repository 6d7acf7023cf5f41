"""What each strategy's label stands for, task by task."""

from coordinator.comparison.estimates import Rows
from coordinator.specs import Evaluation, Run


def variant_rows(spec: Evaluation) -> Rows:
    """List the settings behind each label."""
    first = {(run.task, run.strategy): run for run in reversed(spec.runs.values())}
    return [_row(run, spec.identical) for run in reversed(first.values())]


def _row(run: Run, identical: dict[str, str]) -> dict[str, object]:
    training = run.training.model_dump()
    training["learning_rates"] = " ".join(map(str, run.training.learning_rates))
    split, federated = run.algorithm == "split", run.algorithm == "federated"
    return {
        "task": run.task, "strategy": run.strategy, "preset": run.preset, "algorithm": run.algorithm,
        "labels": run.labels if split else None,
        "optimizer_state": run.optimizer_state if federated else None,
        "batches": run.batches if run.preset == "centralized" else None, "site_weights": run.site_weights,
        "cut": " ".join(run.cut), "model": run.model.name, **training,
        "identical_to": identical.get(f"{run.task}/{run.strategy}"),
    }  # fmt: skip
