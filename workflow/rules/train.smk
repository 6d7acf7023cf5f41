# in:  the prepared records of all sites of a task, and the statistics they agreed on
# out: results/{study}/runs/{task}/{strategy}/{seed}/


rule train:
    """Start a coordinator and its sites, and collect what the sites release.

    Where a profile gives `mpi: srun`, a launcher starts on each node of the job, with its own part of them.
    One thread: two gangs side by side keep two cores busy, since a gang's parties take turns.
    Commits, ledgers and logs of the parties lie under state/, which no rule declares: Snakemake
    would delete them at a job's start.
    """
    input:
        code=lambda wildcards: sources(run_of(wildcards)),
        prepared=prepared_of,
        statistics="<results>/statistics/{task}/{seed}/statistics.json",
    output:
        weights="<results>/runs/{task}/{strategy}/{seed}/weights.sha256",
        history="<results>/runs/{task}/{strategy}/{seed}/history.jsonl",
        participation="<results>/runs/{task}/{strategy}/{seed}/participation.jsonl",
        costs="<results>/runs/{task}/{strategy}/{seed}/costs.json",
    log:
        "<logs>/train/{task}/{strategy}/{seed}.log",
    benchmark:
        "<benchmarks>/train/{task}/{strategy}/{seed}.tsv"
    threads: 1
    resources:
        mpi="",
    params:
        spec=lambda wildcards: run_of(wildcards)["spec"],
        state=state_of("{task}/{strategy}/{seed}"),
        results=lambda wildcards, output: Path(output.weights).parent,
    shell:
        "export SRUN_CPUS_PER_TASK={threads}; "
        "exec {resources.mpi} python -m containers launch --parent $PPID --spec {params.spec:q}"
        " --statistics {input.statistics:q}"
        " --state {params.state:q} --results {params.results:q} --log {log:q}"
