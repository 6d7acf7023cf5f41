# in:  each site's config, as the study resolves it
# out: images/, shared by all studies; state/{study}/layers/, a small layer for each site


rule containers:
    """Build the sites' containers when asked to: a layer for each site, and the images where they are missing."""
    input:
        sites=list(PLAN["sites"].values()),
    log:
        "<logs>/containers.log",
    params:
        sites=configs_of_sites(),
    shell:
        "(python -m containers layers {params.sites:q} && python -m containers build)"
        " &> >(tee {log:q} >&2)"
