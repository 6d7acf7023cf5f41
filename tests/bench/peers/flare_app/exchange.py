"""Exchanges and split steps through NVFlare's Collab API, its recommended one for new algorithms.

The server calls a site, which answers: 64 KiB each way as a tensor, as an array, as bare bytes, and over the
auxiliary channel, NVFlare's older way; then split steps, of which each is one call: gradient down, the next
activations and labels up.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import job
import torch
from nvflare.apis.shareable import Shareable
from nvflare.collab import collab
from torch.nn.functional import binary_cross_entropy_with_logits as loss

WARM_UP, TIMES = 5, 50
site: dict[str, object] = {}


@collab.publish
def echo(up):
    """Site: give back what came."""
    return up


@collab.publish
def listen() -> bool:
    """Site: answer on the auxiliary channel as well."""
    torch.set_num_threads(1)

    def answer(topic, request, fl_ctx):
        reply = Shareable()
        reply["tensor"] = request["tensor"]
        return reply

    collab.fl_ctx.get_engine().register_aux_message_handler("echo", answer)
    return True


@collab.publish
def step(gradient):
    """Site: go backwards with the gradient at the cut, then forward with the next batch."""
    if not site:
        front = job.front()
        optimizer = torch.optim.Adam(front.parameters(), job.RATE, fused=True)
        inputs, labels = torch.randn(4096, job.FEATURES), (torch.rand(4096) > 0.5).float()
        site.update(front=front, optimizer=optimizer, inputs=inputs, labels=labels)
    if gradient is not None:
        site["activations"].backward(gradient)
        site["optimizer"].step()
        site["optimizer"].zero_grad()
    rows = torch.randperm(4096)[: job.STEP_BATCH]
    site["activations"] = site["front"](site["inputs"][rows])
    return site["activations"].detach(), site["labels"][rows]


def timed(exchange: Callable[[], object]) -> list[float]:
    """Give the seconds of each of many."""
    seconds = []
    for _ in range(WARM_UP + TIMES):
        began = time.perf_counter()
        exchange()
        seconds.append(time.perf_counter() - began)
    return seconds[WARM_UP:]


def over_the_auxiliary_channel(client, tensor) -> Callable[[], object]:
    """Give an exchange by NVFlare's older way."""
    client.listen()
    context = collab.fl_ctx

    def exchange() -> None:
        request = Shareable()
        request["tensor"] = tensor
        replies = context.get_engine().send_aux_request([client.name], "echo", request, 30.0, context)
        if replies[client.name].get("tensor") is None:
            raise RuntimeError(f"no tensor came back: {replies}")

    return exchange


def split(client) -> Callable[[], object]:
    """Give the split step, coordinator's half and call."""
    back, gradient = job.back(), None
    optimizer = torch.optim.Adam(back.parameters(), job.RATE, fused=True)

    def exchange() -> None:
        nonlocal gradient
        up, labels = client.step(gradient)
        activations = up.clone().requires_grad_()
        loss(back(activations)[:, 0], labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        gradient = activations.grad

    return exchange


@collab.main
def main() -> None:
    """Time everything with the first site, and write the seconds where the server's property says."""
    torch.set_num_threads(1)
    client, tensor = collab.clients[0], torch.zeros(job.EXCHANGED // 4)
    ways = {
        "tensor": lambda: client.echo(tensor),
        "array": lambda: client.echo(tensor.numpy()),
        "bytes": lambda: client.echo(bytes(job.EXCHANGED)),
        "auxiliary": over_the_auxiliary_channel(client, tensor.numpy()),
        "split_step": split(client),
    }
    found = {name: timed(exchange) for name, exchange in ways.items()}
    Path(collab.get_app_prop("found")).write_text(json.dumps(found), encoding="utf-8")
