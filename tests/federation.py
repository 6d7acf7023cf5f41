"""A whole run in one process: the real algorithms and codec over the link without sockets."""

from copy import deepcopy
from threading import Thread

import numpy as np
import torch
from nacl.public import PrivateKey

from coordinator.algorithms.cohort import Cohort, Rows, SiteData
from coordinator.algorithms.party import Party
from coordinator.commits import Commits
from coordinator.config import Model, Training
from coordinator.draws import key
from coordinator.driver import coordinate, take_part
from coordinator.errors import ProtocolError
from coordinator.keeping import Keeping
from coordinator.presets import PRESETS
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.inproc import Hub
from coordinator.protocol.keys import Identity, Secret
from coordinator.protocol.messages import Done, Hello
from coordinator.protocol.seals import Sealer
from coordinator.protocol.site_channel import SiteChannel
from coordinator.server.committing import CoordinatorCommits, next_generation
from coordinator.server.heads import Heads
from coordinator.specs import POOLED, Run
from coordinator.walking import changed, within_trial
from sites.committing import SiteCommits
from sites.gate import Gate
from sites.protecting import guard_for

LIMIT = 1 << 30


def a_run(preset, sizes, *, model=None, cut=("layer1",), **changes):
    """Make a run over as many sites as there are sizes."""
    sites = tuple(f"site{i}" for i in range(len(sizes)))
    fixed = {"rounds": 2, "batch_size": 16, "learning_rates": (0.05,)}
    training = Training(**{**fixed, **changes.pop("training", {})})
    axes = {**PRESETS[preset], **changes}
    pooled = preset == "centralized"
    return Run(
        study="test", task="task", strategy=preset, seed=3, sites=sites,
        parties=(POOLED,) if pooled else sites, prepared={}, preset=preset, site_weights="records",
        cut=cut if axes["algorithm"] == "split" else (),
        model=model or Model(name="mlp", hidden=(16, 8), dropout=0.3), training=training, validation=0.1,
        missing="impute", release="predictions", threads=1, **axes,
    )  # fmt: skip


class Killed(Exception):
    """What a watch raises to end a run in the middle, at all parties."""


class Several(dict):
    """A tensor per modality, asked for by records."""

    def __getitem__(self, records):
        return {name: values[records] for name, values in self.items()}


def rows(count, shape, *what, classes=2):
    """Draw some learnable records; all modalities but the first may be absent: zeros, and a flag."""
    generator = torch.Generator().manual_seed(key("test", *what) >> 1)
    several = isinstance(shape, dict)
    shapes = {name: each for name, each in shape.items() if name != "present"} if several else {"": shape}
    drawn = {name: torch.randn(count, *each, generator=generator) for name, each in shapes.items()}
    flat = torch.cat([values.flatten(1) for values in drawn.values()], dim=1)
    level = flat[:, 0] + 0.5 * flat[:, -1] + 0.1 * flat.mean(1)
    labels = (level > 0).float() if classes == 2 else level.add(classes / 2).clamp(0, classes - 1).floor()
    if not several:
        return Rows(drawn[""], labels)
    present = (torch.rand(count, len(drawn), generator=generator) > 0.3).float()
    present[:, 0] = 1
    masked = {
        name: values * present[:, place].view(-1, *[1] * (values.dim() - 1))
        for place, (name, values) in enumerate(drawn.items())
    }
    return Rows(Several({**masked, "present": present}), labels)


def joined(several):
    """Lay sites' records in a row, as the pool has them."""
    labels = torch.cat([each.labels for each in several])
    inputs = [each.inputs for each in several]
    if not isinstance(inputs[0], Several):
        return Rows(torch.cat(inputs), labels)
    names = list(inputs[0])
    return Rows(Several({name: torch.cat([each.get(name) for each in inputs]) for name in names}), labels)


def federate(run, sizes, shape=(6,), commits=None, watch=lambda item, state: None, guards=None, absent=None):
    """Run everything; give the coordinator's party and the sites' (party, test logits) by name.

    With a folder for `commits`, go on from those that lie there; without the sites that are `absent`, where
    that is a list, who has come back included. Sites' secrets and privacy accounts lie in the folder
    `guards`, each record that of another patient.
    """
    count, events = len(sizes), tuple(positive(size, shape, i) for i, size in enumerate(sizes))
    cohort = Cohort(shape, tuple(sizes), tuple(range(5, 5 + count)), (7,) * count, events)
    hub, outcomes = Hub(), {}
    channel = CoordinatorChannel(hub, run.parties, spec="s", limit=LIMIT)
    here = [name for name in run.parties if name not in (absent or ())]
    threads = [
        Thread(target=_site, args=(name, party, hub.spoke(name), outcomes, commits), daemon=True)
        for name, party in parties_at(here, run, cohort, shape, guards)
    ]
    for thread in threads:
        thread.start()
    party = Party(run, cohort, away=run.away)
    channel.expect_not(absent or ())
    channel.admit()
    together = begun(party, channel, commits, absent)
    try:
        coordinate(party, channel, watch, together)
    except Killed:
        if together:
            together._settled()  # a killed process writes no more either
        for site in here:
            hub.send(site.encode(), [b"the coordinator is gone"])
        for thread in threads:
            thread.join(30)
        raise
    channel.finish()
    channel.dismiss()
    for thread in threads:
        thread.join(10)
    return party, outcomes, channel


def parties_at(names, run, cohort, shape, guards):
    """Give each site's party, with its data and keys."""
    secrets = {name: (PrivateKey.generate(), PrivateKey.generate()) for name in run.sites}
    manifest = {n: Identity(bytes(c.public_key), bytes(s.public_key)) for n, (c, s) in secrets.items()}
    for name in names:
        index = -1 if name == POOLED else run.sites.index(name)
        keys = () if name == POOLED else secrets[name]
        sealer = Sealer(Secret(*(bytes(k) for k in keys)), manifest) if keys else None
        party = Party(
            run,
            cohort,
            index=index,
            data=site_data(cohort, index, shape, len(run.classes) or 2),
            sealer=sealer,
        )
        if guards:
            party.guard = guard_for(run, index, one_each(cohort, index), guards / name)
        yield name, party


def begun(party, channel, commits, absent):
    """Let everyone begin, or go on from the last commit; give what makes the coordinator's."""
    run, records = party.run, party.cohort.train
    if not commits:
        channel.welcome(records, away=run.away)
        return None
    keeping = Keeping(Commits(commits / "coordinator", "s"), {"lines": channel.lines})
    together = CoordinatorCommits(keeping, channel, Heads(), meanwhile=True)
    own = together.rewind(together.choose())
    if absent is not None:
        gone = tuple(run.sites.index(name) for name in absent)
        at = within_trial(run, records, keeping.start() + 1)
        party.away = together.away = changed(together.away, at, gone)
    channel.welcome(records, own, next_generation(commits), party.away)
    return together


def one_each(cohort, index):
    """Let each record be another patient's, by role."""
    sizes = {"train": cohort.train, "validation": cohort.validation, "test": cohort.test}
    return {role: np.arange(found[index]) for role, found in sizes.items()}


def positive(size, shape, site):
    """Count a site's training records with the outcome."""
    return int(rows(size, shape, site, "train").labels.sum())


def site_data(cohort, index, shape, classes=2):
    """Give one site's data, or the pool's."""
    which = range(len(cohort.train)) if index < 0 else [index]

    def drawn(counts, role):
        return tuple(rows(counts[i], shape, i, role, classes=classes) for i in which)

    return SiteData(
        joined(drawn(cohort.train, "train")),
        drawn(cohort.validation, "validation"),
        drawn(cohort.test, "test"),
    )


def _site(name, party, link, outcomes, commits):
    sent = []
    channel = SiteChannel(link, limit=LIMIT, release=lambda message, size: sent.append(deepcopy(message)))
    own, held = None, Commits(commits / name, "s") if commits else None
    welcome = channel.enter(Hello(name, "s", 0, held.held() if held else {}), lambda refusals: None)
    if held:
        gate = Gate(party.run, commits / f"{name}.jsonl")
        own = SiteCommits(Keeping(held, {"line": channel.line}), channel, gate)
        own.rewind(welcome.commit)
    party.away = welcome.away
    try:
        logits = take_part(party, channel, lambda item, state: None, own)
    except ProtocolError:  # of what was said to it when the coordinator was killed
        assert own
        return
    outcomes[name] = (party, logits, sent, channel)
    channel.leave(None if party.index in party.gone else Done({}, {}))
