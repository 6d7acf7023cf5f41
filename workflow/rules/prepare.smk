# in:  an embedded or generated source, or each hospital's own file
# out: prepared/{source}-{site}-{digest}/, shared by all tasks and studies that mean the same


rule deal:
    """Deal a source without natural sites to them, as each site's own raw files."""
    input:
        code=lambda wildcards: sources(deal_of(wildcards)),
        raw=shared_source,
    output:
        folder=directory("prepared/{deal}"),
    log:
        "<logs>/deal/{deal}.log",
    benchmark:
        "<benchmarks>/deal/{deal}.tsv"
    wildcard_constraints:
        deal="[a-z0-9_]+-dealt-[0-9a-f]+",
    params:
        spec=lambda wildcards: deal_of(wildcards)["spec"],
        raw=shared_binds,
    shell:
        "mkdir -p {output.folder:q} && "
        "exec python -m containers run --parent $PPID --bind {output.folder:q}:rw {params.raw}"
        " --bind {params.spec:q} -- python -m sites deal --spec {params.spec:q} --out {output.folder:q}"
        " &> >(tee {log:q} >&2)"


rule prepare:
    """Turn one site's raw files into typed records and freeze their roles."""
    input:
        code=lambda wildcards: sources(preparation_of(wildcards)),
        raw=raw_source,
    output:
        "prepared/{preparation}/records.parquet",
        "prepared/{preparation}/quarantine.csv",
        manifest="prepared/{preparation}/prepared.json",
    log:
        "<logs>/prepare/{preparation}.log",
    benchmark:
        "<benchmarks>/prepare/{preparation}.tsv"
    wildcard_constraints:
        preparation="[a-z0-9_]+-[a-z0-9_]+-[0-9a-f]+",
    params:
        spec=lambda wildcards: preparation_of(wildcards)["spec"],
        raw=raw_files,
        site=lambda wildcards: preparation_of(wildcards)["name"],
        folder=lambda wildcards, output: Path(output.manifest).parent,
    shell:
        "exec python -m containers run --parent $PPID --site {params.site} --bind {params.folder:q}:rw"
        " --bind {params.raw:q} --bind {params.spec:q}"
        " -- python -m sites prepare --spec {params.spec:q} --input {params.raw:q}"
        " --out {params.folder:q}"
        " &> >(tee {log:q} >&2)"
