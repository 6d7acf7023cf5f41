# in:  the evaluation's tables
# out: results/{study}/report.html, paper/ (figures as SVG and PDF, tables as LaTeX)


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
        report=report(
            "<results>/report.html",
            caption="../report/captions/report.rst",
            category="Report",
            labels={"file": "report.html"},
        ),
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


rule paper:
    """Draw every figure as SVG and PDF, and write every table as LaTeX."""
    input:
        code=rules.report.input.code,
        script=from_here(ROOT / "workflow" / "scripts" / "figures.py"),
        tables=rules.evaluate.output,
    output:
        paper=report(
            directory("<results>/paper"),
            patterns=["{figure}.svg"],
            caption="../report/captions/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        "<logs>/paper.log",
    benchmark:
        "<benchmarks>/paper.tsv"
    params:
        results=lambda wildcards, output: Path(output.paper).parent,
    shell:
        "exec python -m containers run --parent $PPID --bind {params.results:q}:rw"
        " -- python {input.script:q} --results {params.results:q} --out {output.paper:q}"
        " &> >(tee {log:q} >&2)"
