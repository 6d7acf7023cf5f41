"""FedAvg as a Flower app: its own strategy, averaging by records; runs in Flower's environment."""

from pathlib import Path

import job
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

client = ClientApp()  # Flower finds these names by reading, not by importing
server = ServerApp()


@client.train()
def train(message: Message, context: Context) -> Message:
    """Do a site's part of a round."""
    model = job.Network()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    job.train(model, int(context.node_config["site"]))
    metrics = MetricRecord({"num-examples": job.RECORDS})
    return Message(
        RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics}), reply_to=message
    )


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Do all rounds, and say that it is done."""
    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=job.SITES, min_available_nodes=job.SITES)
    first = ArrayRecord(job.Network().state_dict())
    found = strategy.start(grid, initial_arrays=first, num_rounds=job.ROUNDS)
    rounds = len(found.train_metrics_clientapp)
    Path(str(context.run_config["finished"])).write_text(str(rounds), encoding="utf-8")
