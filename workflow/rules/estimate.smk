# in:  all runs of a task, and the test scores that each site kept of them under state/
# out: results/{study}/estimates/{task}/estimates.json, only where no score leaves (evaluation: federated)


rule estimate:
    """Hear from each site how well the runs predict its own test records.

    The scores lie under state/, which no rule declares; a run's hashes stand for them.
    """
    input:
        code=lambda wildcards: sources(estimation_of(wildcards)),
        runs=lambda wildcards: [
            f"results/{STUDY}/runs/{run}/weights.sha256" for run in estimation_of(wildcards)["runs"]
        ],
    output:
        estimates="<results>/estimates/{task}/estimates.json",
    log:
        "<logs>/estimate/{task}.log",
    benchmark:
        "<benchmarks>/estimate/{task}.tsv"
    threads: 1
    params:
        spec=lambda wildcards: estimation_of(wildcards)["spec"],
        state=f"state/{STUDY}/{{task}}/estimate",
        results=lambda wildcards, output: Path(output.estimates).parent,
    shell:
        "exec python -m containers launch --parent $PPID --spec {params.spec:q}"
        " --state {params.state:q} --results {params.results:q} --log {log:q}"
