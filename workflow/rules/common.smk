"""The study's plan, and how the rules look things up in it; no rule stands here."""

import atexit
import fcntl
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

# basedir is the folder of the first Snakefile read: the root's shim, or workflow/ itself
ROOT = next(
    folder.resolve()
    for folder in (Path(workflow.basedir), Path(workflow.basedir).parent)
    if (folder / "workflow" / "Snakefile").is_file()
)
DEFAULT_STUDY = str(ROOT / "config" / "config.yaml")

# Jobs run the `python` of the environment Snakemake runs in, and this checkout's programs,
# also from another working directory and on a cluster's nodes.
os.environ |= {
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]),
    "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
}


def read_plan():
    """Check the study with the only validator, and read what it resolves to.

    A config error ends Snakemake with status 2 and the validator's message alone.
    """
    files = [str(path) for path in workflow.overwrite_configfiles] or [DEFAULT_STUDY]
    settings = [f"--set={setting}" for setting in workflow.config_settings.config_args or ()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "plan.json")
        check = [sys.executable, "-m", "coordinator", "check", *files, *settings]
        done = subprocess.run([*check, "--plan", str(path)], stdout=subprocess.DEVNULL)
        if done.returncode:
            raise SystemExit(done.returncode)
        return json.loads(path.read_text(encoding="utf-8"))


PLAN = read_plan()
# not a parameter of the rules: the same numbers come out of any walls, so others rerun nothing
os.environ |= {"SUTURE_RUNTIME": PLAN["runtime"], "SUTURE_IMAGES": PLAN["images"]}
os.environ |= {"SUTURE_MEMORY_MB": str(PLAN["memory_mb"] or "")}
STUDY = PLAN["study"]
os.environ |= {"SUTURE_LAYERS": f"state/{STUDY}/layers"}
DEALS = {Path(task["deal"]["folder"]).name: task["deal"] for task in PLAN["tasks"].values() if task["deal"]}
# A site's preparation lies under a digest of all it depends on, so tasks and studies share it.
PREPARATIONS = {
    Path(site["folder"]).name: {"name": name, "dealt": task["deal"], **site}
    for task in PLAN["tasks"].values()
    for name, site in task["prepare"].items()
}


def from_here(path):
    """Name a file of this checkout: relative where it can be, so that a checkout may be moved."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def sources(entry):
    """List the source files a job uses, so that editing one of them reruns it."""
    return [from_here(ROOT / path) for path in entry["code"]]


def binds_of(paths):
    """Let a job see files and folders, read-only."""
    return " ".join(f"--bind {shlex.quote(path)}" for path in paths)


def deal_of(wildcards):
    return DEALS[wildcards.deal]


def preparation_of(wildcards):
    return PREPARATIONS[wildcards.preparation]


def agreement_of(wildcards):
    return PLAN["tasks"][wildcards.task]["agree"][wildcards.seed]


def run_of(wildcards):
    return PLAN["runs"][f"{wildcards.task}/{wildcards.strategy}/{wildcards.seed}"]


def audit_of(wildcards):
    return PLAN["audits"][f"{wildcards.task}/{wildcards.seed}"]


def estimation_of(wildcards):
    return PLAN["estimations"][wildcards.task]


def shared_source(wildcards):
    """Name the file or folder with all sites' records, where a source has one."""
    return deal_of(wildcards)["input"] or []


def shared_binds(wildcards):
    """Let a deal see that file or folder."""
    path = deal_of(wildcards)["input"]
    return binds_of([path] if path else [])


def raw_source(wildcards):
    """Name what a site's preparation reads: the dealt folder, or the hospital's own file."""
    site = preparation_of(wildcards)
    return site["dealt"]["folder"] if site["dealt"] else site["input"]


def raw_files(wildcards):
    """Name the site's own part of it."""
    site = preparation_of(wildcards)
    return str(Path(site["dealt"]["folder"], site["name"])) if site["dealt"] else site["input"]


def prepared_files(task):
    """Name the prepared files of all sites of a task."""
    folders = [site["folder"] for site in PLAN["tasks"][task]["prepare"].values()]
    return [f"{folder}/{name}" for folder in folders for name in ("prepared.json", "records.parquet")]


def summaries():
    """Name what an evaluation sees of prepared data: counts and shares, no record."""
    return [
        f"{site['folder']}/prepared.json"
        for task in PLAN["tasks"].values()
        for site in task["prepare"].values()
    ]


def prepared_of(wildcards):
    return prepared_files(wildcards.task)


def table_of(name):
    """Name one of the study's tables, with its caption in Snakemake's own report."""
    return report(
        f"<results>/{name}.csv",
        caption=f"../report/captions/{name}.rst",
        category="Tables",
        labels={"table": name},
    )


def build_images():
    """Build the images that the runtime needs and lacks.

    No rule's input, since images change no result: neither another runtime nor a rebuilt image reruns a job.
    """
    done = subprocess.run([sys.executable, "-m", "containers", "build", "--if-wanted"])
    if done.returncode:
        raise WorkflowError("the images could not be built; the lines above say why")


def lay_sites():
    """Lay each site's config over the shared image, where parties run in containers; kilobytes a site."""
    if PLAN["runtime"] == "host":
        return
    done = subprocess.run([sys.executable, "-m", "containers", "layers", "--quiet", *configs_of_sites()])
    if done.returncode:
        raise WorkflowError("the sites' layers could not be made; the line above says why")


def configs_of_sites():
    """Name what each site's layer holds: its config, as this study resolves it."""
    return [f"{name}={path}" for name, path in PLAN["sites"].items()]


def state_of(run):
    """Name where the parties of a run, or of an agreement, keep their own."""
    return f"state/{STUDY}/{run}"


def gangs():
    """Name all that launchers will start together: agreements and runs."""
    for task, planned in PLAN["tasks"].items():
        for seed, agreement in planned["agree"].items():
            folder = f"results/{STUDY}/statistics/{task}/{seed}"
            gang = {"spec": agreement["spec"], "statistics": None}
            yield gang | {"state": state_of(f"{task}/agree/{seed}"), "results": folder}
    for name, planned in PLAN["runs"].items():
        task, _, seed = name.split("/")
        statistics = f"results/{STUDY}/statistics/{task}/{seed}/statistics.json"
        gang = {"spec": planned["spec"], "statistics": statistics}
        yield gang | {"state": state_of(name), "results": f"results/{STUDY}/runs/{name}"}


def share_starts():
    """Keep each party's program started for all jobs of this machine; launchers find it by a variable.

    Only what runs here may: a cluster's job may be on any node. It ends with Snakemake, however that ends.
    """
    if not workflow.local_exec:
        return
    path = Path(".snakemake", "gangs.json")
    path.write_text(json.dumps(list(gangs())), encoding="utf-8")
    command = [sys.executable, "-m", "containers", "fork-servers", "--gangs", str(path)]
    servers = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    os.environ |= {"SUTURE_FORK_SERVERS": servers.stdout.readline().decode().strip()}
    atexit.register(end_shared_starts, servers)


def end_shared_starts(servers):
    servers.stdin.close()
    servers.wait()


def look_less_often():
    """Take away the limit of jobs a second that Snakemake has where nobody asks for one.

    Under it every look at the jobs is repeated a second later, for ever, and each job that ends begins another
    such series: in the end dozens of looks a second at every input, a quarter of a short study's seconds.
    """
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if limit and (limit.max_jobs, limit.timespan) == (100, 1):  # the default
        workflow.scheduler.job_rate_limiter = None


def hold_folder():
    """Lock the working directory until Snakemake ends, whoever started it.

    `make run` unlocks a folder that a killed Snakemake left locked; this lock, which no killed
    process can leave behind, tells it that no Snakemake is at work.
    """
    global folder_lock
    if os.environ.get("SUTURE_HOLDS_FOLDER"):
        return
    folder_lock = open(Path(".snakemake", "suture.lock"), "w")
    try:
        fcntl.flock(folder_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise WorkflowError("another run is at work in this folder; wait for it to end")
