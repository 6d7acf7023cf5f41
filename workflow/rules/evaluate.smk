# in:  everything the runs of a study released
# out: results/{study}/*.csv, figures/*.csv (a figure is a function of its table), provenance.json


rule evaluate:
    """Compare all runs: how well each predicts, what each site paid, where they differ."""
    input:
        code=sources(PLAN["evaluation"]),
        prepared=[path for task in PLAN["tasks"] for path in prepared_files(task)],
        statistics=[
            f"<results>/statistics/{task}/{seed}/statistics.json"
            for task, planned in PLAN["tasks"].items()
            for seed in planned["agree"]
        ],
        runs=expand(
            "<results>/runs/{run}/{file}",
            run=PLAN["runs"],
            file=["weights.sha256", "history.jsonl", "participation.jsonl", "costs.json"],
        ),
        estimates=expand("<results>/estimates/{task}/estimates.json", task=PLAN["estimations"]),
        audits=expand("<results>/audit/{audit}/privacy.csv", audit=PLAN["audits"]),
    output:
        table_of("differences"),
        table_of("costs"),
        table_of("privacy"),
        table_of("variants"),
        "<results>/provenance.json",
        comparison=table_of("comparison"),
        figures=report(
            directory("<results>/figures"),
            patterns=["{table}.csv"],
            caption="../report/captions/data.rst",
            category="Tables behind the figures",
            labels={"table": "{table}"},
        ),
    log:
        "<logs>/evaluate.log",
    benchmark:
        "<benchmarks>/evaluate.tsv"
    params:
        spec=PLAN["evaluation"]["spec"],
        results=lambda wildcards, output: Path(output.comparison).parent,
        summaries=binds_of(summaries()),
        # whose hashes go into provenance.json
        code=binds_of(from_here(ROOT / name) for name in ("sites", "containers", "workflow")),
    shell:
        "exec python -m containers run --parent $PPID --bind {params.results:q}:rw"
        " --bind {params.spec:q} {params.summaries} {params.code}"
        " -- python -m coordinator evaluate --spec {params.spec:q} --results {params.results:q}"
        " &> >(tee {log:q} >&2)"
