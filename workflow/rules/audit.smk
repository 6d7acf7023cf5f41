# in:  all runs of a task and seed, the wires their coordinators recorded, and the sites' prepared records
# out: results/{study}/audit/{task}/{seed}/privacy.csv, only where the study asks for it (audit:)


rule audit:
    """Attack the runs of a task and seed, and score what was learned against the records.

    The wires lie under state/, which no rule declares; a run's hashes stand for its wire.
    """
    input:
        code=lambda wildcards: sources(audit_of(wildcards)),
        prepared=prepared_of,
        statistics="<results>/statistics/{task}/{seed}/statistics.json",
        runs=lambda wildcards: [
            f"results/{STUDY}/runs/{run}/weights.sha256" for run in audit_of(wildcards)["runs"]
        ],
    output:
        table="<results>/audit/{task}/{seed}/privacy.csv",
    log:
        "<logs>/audit/{task}/{seed}.log",
    benchmark:
        "<benchmarks>/audit/{task}/{seed}.tsv"
    threads: 1
    params:
        spec=lambda wildcards: audit_of(wildcards)["spec"],
        state=f"state/{STUDY}",
        results=lambda wildcards, output: Path(output.table).parents[3],
        out=lambda wildcards, output: Path(output.table).parent,
    shell:
        "exec python -m containers run --parent $PPID --bind {params.results:q}:rw --bind prepared"
        " --bind {params.state:q}"
        " -- python -m sites audit --spec {params.spec:q} --statistics {input.statistics:q}"
        " --results {params.results:q} --state {params.state:q} --out {params.out:q}"
        " &> >(tee {log:q} >&2)"
