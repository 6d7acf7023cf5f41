"""A site's half of FedAvg through NVFlare's client API; the script of its FedAvg recipe."""

import job
import nvflare.client as flare


def main() -> None:
    """Train whenever the server asks."""
    flare.init()
    site = int(flare.get_site_name().rpartition("-")[2]) - 1
    while flare.is_running():
        heard = flare.receive()
        if heard is None:
            return
        model = job.Network()
        model.load_state_dict(heard.params)
        job.train(model, site)
        steps = -(-job.RECORDS // job.BATCH)
        flare.send(flare.FLModel(params=model.state_dict(), meta={"NUM_STEPS_CURRENT_ROUND": steps}))


if __name__ == "__main__":
    main()
