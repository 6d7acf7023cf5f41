# in:  config/downloads.yaml
# out: the files of the sets that are asked for, under a data root
#
# A Snakefile of its own, since a study is checked, and its files looked for, before any of its rules runs.
# `make download SETS=heart_disease,medmnist DATA_ROOT=folder` calls it.
import sys
from pathlib import Path

import yaml

HERE = Path(workflow.basedir)
LISTED = Path(config.get("downloads", HERE.parent / "config" / "downloads.yaml"))
KNOWN = yaml.safe_load(LISTED.read_text(encoding="utf-8"))
ROOT = config.get("data_root")
SETS = [name for name in str(config.get("sets", "")).split(",") if name]

if not ROOT or not SETS or not set(SETS) <= set(KNOWN):
    raise WorkflowError(
        f"found sets {SETS} and data_root {ROOT!r}; name a data_root, and of the sets {', '.join(KNOWN)} "
        "those to fetch: make download SETS=heart_disease,medmnist DATA_ROOT=folder"
    )


localrules:
    all,


rule all:
    input:
        [f"{ROOT}/{name}/{file}" for name in SETS for file in KNOWN[name]["files"]],


rule download:
    """Fetch one file, and keep it only if it is the one that was meant."""
    output:
        f"{ROOT}/{{set}}/{{file}}",
    params:
        url=lambda wildcards: f"{KNOWN[wildcards.set]['source']}/{wildcards.file}",
        sha256=lambda wildcards: KNOWN[wildcards.set]["files"][wildcards.file],
        program=[sys.executable, str(HERE / "scripts" / "download.py")],
    shell:
        "{params.program:q} {params.url:q} --sha256 {params.sha256} --out {output:q}"
