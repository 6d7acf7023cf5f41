"""Which figures a task has, by the section that they stand in; each is a function of CSV files."""

from reporting import curves, figures, frontier, shift, sweeps
from reporting.charts import Figure
from reporting.files import Results, distinct


def figures_of(results: Results, task: str) -> dict[str, list[Figure]]:
    """Draw every figure of a task that has something to show."""
    strategies, shown = strategies_of(results, task), shown_of(results, task)
    drawn = {
        "shift": [shift.shift(results, task)],
        "results": [figures.overview(results, task, strategies), figures.forest(results, task, shown)],
        "differences": [figures.differences(results, task, strategies)],
        "curves": [
            curves.roc(results, task, strategies, shown),
            curves.precision_recall(results, task, strategies, shown),
            curves.calibration(results, task, strategies, shown),
            curves.decision(results, task, strategies, shown),
        ],
        "learning": [
            curves.learning(results, task, strategies, "round"),
            curves.learning(results, task, strategies, "seconds"),
            curves.learning(results, task, strategies, "bytes"),
            curves.learning(results, task, strategies, "round", "validation_auroc"),
            curves.learning(results, task, strategies, "bytes", "validation_auroc"),
        ],
        "sweeps": [
            sweeps.sweep(results, task, strategies, kind, measure)
            for kind in sweeps.kinds_of(results, task)
            for measure in sweeps.MEASURES
        ],
        "frontier": frontier.panels(results, task),
        "target": [figures.target(results, task, strategies, name) for name in figures.TARGETS],
    }
    return {name: [figure for figure in found if figure is not None] for name, found in drawn.items()}


def strategies_of(results: Results, task: str) -> list[str]:
    """Name a task's strategies in the study's order."""
    return distinct(results.rows("variants.csv", task=task), "strategy")


def twins_of(results: Results, task: str) -> dict[str, str]:
    """Name the strategies that are identical to another, and that other."""
    verdicts = results.rows("differences.csv", task=task, verdict="identical")
    return {row["strategy"]: row["reference"] for row in verdicts}


def shown_of(results: Results, task: str) -> list[str]:
    """Name those without a twin, whose curve would lie under the other's."""
    twins = twins_of(results, task)
    return [strategy for strategy in strategies_of(results, task) if strategy not in twins]
