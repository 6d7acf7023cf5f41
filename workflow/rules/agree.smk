# in:  the prepared records of all sites of a task
# out: results/{study}/statistics/{task}/{seed}/statistics.json


rule agree:
    """Agree on normalisation and vocabularies from the training records' aggregates."""
    input:
        code=lambda wildcards: sources(agreement_of(wildcards)),
        prepared=prepared_of,
        frozen=lambda wildcards: agreement_of(wildcards)["frozen"] or [],
    output:
        statistics="<results>/statistics/{task}/{seed}/statistics.json",
    log:
        "<logs>/agree/{task}/{seed}.log",
    benchmark:
        "<benchmarks>/agree/{task}/{seed}.tsv"
    threads: 1
    params:
        spec=lambda wildcards: agreement_of(wildcards)["spec"],
        state=state_of("{task}/agree/{seed}"),
        results=lambda wildcards, output: Path(output.statistics).parent,
    shell:
        "exec python -m containers launch --parent $PPID --spec {params.spec:q}"
        " --state {params.state:q} --results {params.results:q} --log {log:q}"
