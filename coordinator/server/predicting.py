"""``python -m coordinator serve-predictions``: the coordinator's half of a cut model, for the run's sites.

It serves one run's model as that run ended. A site that holds the parts it ended with, and shows so in its
Hello, may ask for as many records as it likes; nothing is trained and nothing is kept.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import torch

from coordinator import final_model, specs
from coordinator.algorithms.cohort import shape_of
from coordinator.algorithms.party import Party
from coordinator.algorithms.prediction import coordinator_answer, ready
from coordinator.driver import algorithm
from coordinator.errors import ConfigError, ProtocolError
from coordinator.final_model import FinalModel
from coordinator.lifeline import Lifeline
from coordinator.limits import message_limit
from coordinator.model_files import checked_parts
from coordinator.outcome import recorded, write_bytes
from coordinator.protocol.admission import Admitted
from coordinator.protocol.callers import Callers
from coordinator.protocol.keys import COORDINATOR, read_manifest, read_secret
from coordinator.protocol.messages import Activations, Message
from coordinator.protocol.sockets import Router
from coordinator.specs import Prediction

WAIT_SECONDS = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add = parser.add_argument
    add("--run", type=Path, required=True, help="a finished run: results/STUDY/runs/TASK/STRATEGY/SEED")
    add("--secret", type=Path, required=True, help="the coordinator's key file")
    add("--manifest", type=Path, required=True, help="every party's public keys")
    add("--endpoint", required=True, help="ipc://PATH or tcp://HOST:PORT (port 0: any)")
    add("--state", type=Path, required=True, help="folder for the endpoint's address and exit.json")
    add("--times", type=int, metavar="N", help="leave when N predictions are done; by default never")
    add("--lifeline", action="store_true", help="leave when standard input ends")


def run(options: argparse.Namespace) -> int:
    """Serve, and record how it ended."""
    return recorded(COORDINATOR, options.state, partial(serve, options))


def serve(options: argparse.Namespace) -> None:
    """Answer the sites until told to leave.

    Raises:
        ConfigError: the run's model is not cut, or its files are not those it ended with.
    """
    model = final_model.read(options.run)
    party = coordinator_part(model, options.run)
    callers = open_callers(model, party, options)
    while options.times is None or callers.served < options.times:
        callers.serve(WAIT_SECONDS, partial(answer, party))
    callers.close()


def coordinator_part(model: FinalModel, folder: Path) -> Party:
    """Load the coordinator's part of a cut model.

    Raises:
        ConfigError: there is none, or its file is not the one the run ended with.
    """
    if model.run.algorithm != "split":
        raise ConfigError(
            f"{folder}: '{model.run.strategy}' is not cut: {model.whole.why}; predict with `python -m sites "
            "predict`, by its --run at the site or by the --model that `python -m coordinator export` writes"
        )
    torch.set_num_threads(model.run.threads)
    what, tensors = checked_parts(folder / final_model.part_file(COORDINATOR), model)
    return ready(
        what, algorithm(model.run.algorithm).parts_of(model.run, shape_of(what.input_shapes))[1], tensors
    )


def open_callers(model: FinalModel, party: Party, options: argparse.Namespace) -> Callers:
    """Listen for the sites that hold parts of the model, and publish where.

    Raises:
        ConfigError: the manifest has the key of none of them.
    """
    manifest, secret = read_manifest(options.manifest), read_secret(options.secret)
    sites = [site for site in model.run.sites if site in model.holders and site in manifest]
    if not sites:
        raise ConfigError(
            f"{options.manifest}: has no key of {', '.join(model.run.sites)}; make keys for the run's sites"
        )
    link = Router(
        options.endpoint,
        secret.curve,
        Admitted(options.manifest, sites).keys,
        Lifeline() if options.lifeline else None,
    )
    write_bytes(options.state / "endpoint", link.endpoint.encode())
    note(f"predicting with {model.run.study}/{model.run.task}/{model.run.strategy} at {link.endpoint}")
    digests = {site: specs.digest(prediction_of(model, site)) for site in sites}
    return Callers(link, digests, limit=message_limit(model.run, party.cohort), note=note)


def prediction_of(model: FinalModel, site: str) -> Prediction:
    """Say what a site must hold to be served."""
    parts = {name: held.sha256 for name, held in model.holders[site].items()}
    return Prediction(run=model.run, site=site, statistics=model.statistics, parts=parts)


def answer(party: Party, site: str, message: Message) -> Message:
    """Answer a site's activations.

    Raises:
        ProtocolError: it sent something else.
    """
    if not isinstance(message, Activations):
        raise ProtocolError(f"'{site}' sent {type(message).__name__}, expected Activations to be predicted")
    return coordinator_answer(party, message, site)


def note(text: str) -> None:
    """Say what happens, for the operator."""
    print(text, file=sys.stderr, flush=True)
