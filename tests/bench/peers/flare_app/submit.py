"""``python submit.py fedavg|exchange KIT FOUND``: one job from submission to its end; prints the seconds."""

import sys
import tempfile
import time
from pathlib import Path

import job
from nvflare.fuel.flare_api.flare_api import new_secure_session

POLL = 0.1  # seconds; NVFlare's own monitor looks every 2
ADMIN = "admin@nvidia.com"


def fedavg(found: str):
    """Give NVFlare's own FedAvg for the common job."""
    from nvflare.app_opt.pt.recipes.fedavg import FedAvgRecipe

    script = str(Path(__file__).with_name("client.py"))
    return FedAvgRecipe(
        name="fedavg",
        model=job.Network(),
        min_clients=job.SITES,
        num_rounds=job.ROUNDS,
        train_script=script,
    )


def exchange(found: str):
    """Give the job that times exchanges and split steps."""
    import exchange as module
    from nvflare.collab.recipe import CollabRecipe

    recipe = CollabRecipe("exchange", server=module, client=module, min_clients=job.SITES)
    recipe.set_server_prop("found", found)
    return recipe


def main(which: str, kit: str, found: str) -> None:
    """Submit a job, wait for its end."""
    recipe = {"fedavg": fedavg, "exchange": exchange}[which](found)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        recipe.export(folder)
        session = new_secure_session(ADMIN, kit, timeout=30.0)
        number = session.submit_job(str(Path(folder) / which))
        while not (status := session.get_job_meta(number)["status"]).startswith("FINISHED"):
            time.sleep(POLL)
    seconds = time.perf_counter() - began
    session.close()
    if status != "FINISHED:COMPLETED":
        raise SystemExit(f"NVFlare's job ended as {status}")
    print(f"seconds {seconds}")


if __name__ == "__main__":
    main(*sys.argv[1:])
