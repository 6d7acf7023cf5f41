"""Lets a hostile coordinator make a site's front readable, and scores what it then reads.

Simulations: the site's half of a step is the real one (front, received gradient, optimizer), over the
largest site's training records. What the front was to learn plays no part, so strategies with the same cut
are attacked alike. A frozen front is the simplest hostility: the gradients sent down are zero, and the front
stays what the study's seed drew, which the coordinator can draw too; not where NoPeek moves it still. The
site's defence stands between as in a run, and the attacker learns with it. Where the site finds that it is
hijacked, nothing more leaves: what is read then is what the front of that moment would have given.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from coordinator.algorithms.optimizers import Optimizer
from coordinator.attacks.defence import Known
from coordinator.attacks.effort import Effort
from coordinator.attacks.hijacking import Hijacker
from coordinator.draws import key
from coordinator.models.stages import Part, backward
from coordinator.privacy import no_peek
from coordinator.privacy.hijacking import Scrutiny
from sites.attacked import LEAST, Attacked, Rows, activations
from sites.joined import Joined
from sites.reconstruction import decoded, scored_rows
from sites.scene import Scene, laid_flat, lifted, together

WHO = "malicious_coordinator"


def hijacking_rows(attacked: Attacked, effort: Effort) -> Rows:
    """Freeze and hijack a front at a run's cut, and score reconstructions of the site's test records."""
    own = tuple(each for each in attacked.hospitals if len(each.roles["auxiliary"].labels) > 0)
    if attacked.run.algorithm != "split" or sum(len(each.roles["auxiliary"].labels) for each in own) < LEAST:
        return []
    test = attacked.hospitals[attacked.largest()].roles["test"]
    auxiliary = together([each.roles["auxiliary"] for each in own])
    front, defence = attacked.first(0).eval(), attacked.known("hijacking")
    inputs = Joined([each.roles["auxiliary"].inputs for each in own])
    seen = _seen(attacked, front, defence)
    scene = Scene(seen, together([test]), test.labels.astype(np.int64), auxiliary, own)
    known, flat = activations(front, inputs), laid_flat(auxiliary)
    rows: Rows = []
    if attacked.run.privacy.no_peek is None:
        guess = decoded(scene, known, effort.decoder, attacked.run.seed, attacked.known("frozen_front"))
        rows = scored_rows(attacked, scene, guess, "frozen_front", WHO)
    hijacker = Hijacker(
        attacked.first(0), inputs[:], flat, known.shape[1:], seed=attacked.run.seed, defence=defence
    )
    hijack(attacked, front, hijacker, effort.hijacking)
    read = hijacker.read(_seen(attacked, front.eval(), defence))
    return rows + scored_rows(attacked, scene, lifted(read, scene.truth), "hijacking", WHO)


def hijack(attacked: Attacked, front: Part, hijacker: Hijacker, steps: int) -> None:
    """Walk the site's half of so many steps, each answered by the hijacker."""
    run, site = attacked.run, attacked.hospitals[attacked.largest()]
    inputs, count = site.inputs("train"), len(site.roles["train"].labels)
    labels, privacy = torch.from_numpy(site.roles["train"].labels), run.privacy
    scrutiny = Scrutiny() if privacy.detect_hijacking else None
    optimizer = Optimizer(front.train(), run.training, run.training.learning_rates[-1])
    draws = np.random.default_rng(key(run.seed, "hijacked"))
    for step in range(steps):
        records = draws.choice(count, size=min(run.training.batch_size, count), replace=False)
        batch = inputs[records]
        clean = front(batch, (run.seed, "hijacked", step))
        up = hijacker.defence.released(clean)
        gradient = hijacker.answer(up)
        if scrutiny and scrutiny.suspects(gradient, labels[torch.from_numpy(records)]):
            return
        if privacy.no_peek:
            hidden = no_peek.distance_correlation(no_peek.flat(batch), clean)
            (privacy.no_peek * hidden).backward(retain_graph=True)
        backward(up, gradient)
        optimizer.descend(0)


def _seen(attacked: Attacked, front: Part, defence: Known) -> NDArray[np.float32]:
    clean = activations(front, attacked.hospitals[attacked.largest()].inputs("test"))
    return defence.released(torch.from_numpy(clean)).numpy()
