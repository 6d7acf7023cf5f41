# in:  the evaluation's tables
# out: results/{study}/report.html


rule report:
    """Draw the tables into one page that needs no network."""
    input:
        code=sorted(
            from_here(path)
            for folder in ("scripts", "report")
            for path in (ROOT / "workflow" / folder).rglob("*.*")
            if path.is_file() and path.suffix != ".pyc"
        ),
        script=from_here(ROOT / "workflow" / "scripts" / "report.py"),
        tables=rules.evaluate.output,
    output:
        report="<results>/report.html",
    log:
        "<logs>/report.log",
    benchmark:
        "<benchmarks>/report.tsv"
    params:
        results=lambda wildcards, output: Path(output.report).parent,
    shell:
        "exec python -m containers run --parent $PPID --bind {params.results:q}:rw"
        " -- python {input.script:q} --results {params.results:q} --out {output.report:q}"
        " &> >(tee {log:q} >&2)"
