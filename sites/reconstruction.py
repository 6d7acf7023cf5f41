"""Holds against recorded activations what reads records off them: decoder, white box, UnSplit, pseudo-client.

Who has the front that a decoder is trained on and that is inverted: of synchronous parts the coordinator
knows the start, which the study's seed keys, and every gradient; private fronts nobody has but their site.
UnSplit and the pseudo-client need none.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from coordinator.attacks.catalog import GROUP_NORM
from coordinator.attacks.decoder import train_decoder
from coordinator.attacks.defence import Known
from coordinator.attacks.effort import Effort
from coordinator.attacks.image_decoder import train_image_decoder
from coordinator.attacks.inversion import unsplit, white_box
from coordinator.attacks.layout import Layout
from coordinator.attacks.pseudo_client import PseudoClient, train_pseudo_client
from coordinator.models.stages import Value
from sites.attacked import Attacked, Rows, rows_of
from sites.gallery import show
from sites.leakage import inferred
from sites.scene import Scene, known_activations, laid_flat, lifted, scene_of
from sites.scoring import scored

Floats = NDArray[np.float32]
WHO: Final[Mapping[str, str]] = {
    "averaged": "curious_coordinator",
    "synchronous": "curious_coordinator",
    "handed_on": "collusion",
}


def reconstruction_rows(attacked: Attacked, effort: Effort) -> Rows:
    """Score what each attack makes of the test records' activations."""
    scene = scene_of(attacked)
    if scene is None:
        return []
    rows: Rows = []
    who = WHO.get(attacked.run.site_parts)
    for name, (attack, needs_front) in ATTACKS.items():
        if who or not needs_front:
            threat = who if who and needs_front else "curious_coordinator"
            rows += attack(attacked, scene, effort, name, threat)
    return rows


def _decoder(attacked: Attacked, scene: Scene, effort: Effort, name: str, threat: str) -> Rows:
    known = known_activations(attacked, scene)
    guess = decoded(scene, known, effort.decoder, attacked.run.seed, attacked.known(name))
    return scored_rows(attacked, scene, guess, name, threat)


def decoded(scene: Scene, known: Floats, steps: int, seed: int, defence: Known) -> dict[str, Floats]:
    """Learn from auxiliary records and their activations, and decode those that were seen.

    Args: `known` are activations (n, ...) as the front gives them, before the `defence`.
    """
    if set(scene.auxiliary) == {"image"} and known.ndim == 4:
        images = train_image_decoder(known, scene.auxiliary["image"], seed=seed, steps=steps, defence=defence)
        return {"image": images(scene.seen)}
    decode = train_decoder(known, laid_flat(scene.auxiliary), seed=seed, steps=steps, defence=defence)
    return lifted(decode(scene.seen), scene.truth)


def _white_box(attacked: Attacked, scene: Scene, effort: Effort, name: str, threat: str) -> Rows:
    few, front = scene.some(effort.records), attacked.front(attacked.run.sites[0])
    guess = white_box(
        front, few.seen, Layout.of(attacked.statistics), iterations=effort.descent, seed=attacked.run.seed,
        defence=attacked.known(name),
    )  # fmt: skip
    return scored_rows(attacked, few, guess, name, threat)


def _unsplit(attacked: Attacked, scene: Scene, effort: Effort, name: str, threat: str) -> Rows:
    few, clone = scene.some(effort.records), attacked.first(0)
    guess = unsplit(
        clone.eval(), few.seen, Layout.of(attacked.statistics), iterations=effort.descent,
        seed=attacked.run.seed, defence=attacked.known(name),
    )  # fmt: skip
    return scored_rows(attacked, few, guess, name, threat)


def _pseudo_client(attacked: Attacked, scene: Scene, effort: Effort, name: str, threat: str) -> Rows:
    """Reconstruct records, and infer the labels of those whose labels stay at the sites."""
    seed, inputs = attacked.run.seed, scene.inputs()
    client = train_pseudo_client(
        pseudo_client_of(attacked),
        lambda records: _some(inputs, records),
        torch.from_numpy(scene.auxiliary_labels()),
        scene.seen,
        steps=effort.pseudo_client,
        seed=seed,
        defence=attacked.known(name),
    )
    with torch.inference_mode():
        own = client.front(inputs).numpy()
    rows = scored_rows(
        attacked, scene, decoded(scene, own, effort.decoder, seed, attacked.known(name)), name, threat
    )
    if attacked.run.labels == "private":
        scores = client.labels(scene.seen)
        rows += rows_of(name, "labels of test records", threat, inferred(scene.labels, scores, scores > 0))
    return rows


def pseudo_client_of(attacked: Attacked) -> PseudoClient:
    """Put a front and head below and above the coordinator's final layers, from the start that all know."""
    private = attacked.run.labels == "private"
    head = attacked.first(2) if private else None
    return PseudoClient(attacked.first(0), attacked.middle(), head)


Attack = Callable[[Attacked, Scene, Effort, str, str], Rows]
ATTACKS: Final[Mapping[str, tuple[Attack, bool]]] = {  # and whether it needs the front
    "decoder": (_decoder, True),
    "white_box": (_white_box, True),
    "unsplit": (_unsplit, False),
    "pseudo_client": (_pseudo_client, False),
}


def scored_rows(
    attacked: Attacked, scene: Scene, guess: Mapping[str, Floats], name: str, threat: str
) -> Rows:
    """Score a guess by modality, and show some of its images where that is allowed."""
    show(attacked, name, guess, scene.truth, scene.auxiliary)
    found = scored(guess, scene.truth, scene.auxiliary, attacked.statistics, attacked.run.seed)
    behind = f" {GROUP_NORM}" if normalises_groups(attacked) else ""
    return [
        row
        for modality, measures in found.items()
        for row in rows_of(name, modality + (behind if modality == "image" else ""), threat, measures)
    ]


def normalises_groups(attacked: Attacked) -> bool:
    """Say whether group norm stands below the cut, which an image's level and contrast do not pass whole."""
    return any(isinstance(module, nn.GroupNorm) for module in attacked.first(0).modules())


def _some(inputs: Value, records: NDArray[np.int64]) -> Value:
    chosen = torch.from_numpy(records)
    if isinstance(inputs, dict):
        return {name: value[chosen] for name, value in inputs.items()}
    return inputs[chosen]
