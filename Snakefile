# So that a bare `snakemake` in the repository's root works; the workflow stands in workflow/Snakefile.
include: "workflow/Snakefile"


workflow.default_target = "all"
