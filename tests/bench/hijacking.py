"""How soon a site finds that its front is hijacked, and how often it is wrong, on synthetic radiographs.

`python -m tests.bench.hijacking [--runs 100]`. A run is a site's front of the default study's network,
trained either by an honest back or by a feature-space hijacker (Pasquini 2021): a pilot autoencoder, trained
before on other patients, and a critic that pulls the front's output towards the pilot's. Found in time means:
before the decoder's picture of the site's records beats a grey image (the mean of the attacker's) by 3 dB.
"""

import argparse
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from coordinator.config import Model, Scanner
from coordinator.draws import key
from coordinator.models.imaging import stages
from coordinator.privacy.hijacking import Scrutiny
from sites.datasets.chest_phantom import person, radiograph

PIXELS, BATCH, RECORDS = 16, 32, 160
PATIENTS, ATTACKERS = 900, 240
GAIN_DB = 3.0
STAGES = stages(Model(name="cnn"), (1, PIXELS, PIXELS))


class Run(NamedTuple):
    """When the site stopped, the decoder's best gain over the grey image until then, all scores' least."""

    stopped: int | None
    gain: float
    least: float


@cache
def everyone() -> tuple[Tensor, Tensor]:
    """Invent all patients; give images (records, 1, pixels, pixels) between 0 and 1, and findings."""
    findings = np.random.default_rng(key(0, "findings")).random(PATIENTS) < 0.4
    scanner = Scanner(spacing_mm=1.0, contrast=1.0)
    drawn = [radiograph(person(0, i, bool(sick)), 0, scanner) for i, sick in enumerate(findings)]
    images = torch.from_numpy(np.stack([_small(each) for each in drawn]))[:, None].float()
    return images, torch.from_numpy(findings).float()


def of_the_site(seed: int) -> tuple[Tensor, Tensor]:
    """Draw a site's patients, who are none of the attacker's."""
    images, findings = everyone()
    chosen = np.random.default_rng(key(seed, "site")).choice(PATIENTS - ATTACKERS, RECORDS, replace=False)
    return images[ATTACKERS + chosen], findings[ATTACKERS + chosen]


def _small(picture: np.ndarray) -> np.ndarray:
    rows = np.array_split(np.arange(picture.shape[0]), PIXELS)
    columns = np.array_split(np.arange(picture.shape[1]), PIXELS)
    return np.array([[picture[np.ix_(r, c)].mean() for c in columns] for r in rows])


def front() -> nn.Module:
    """Make the first stage of the default network for images."""
    return STAGES["conv1"]()


def back() -> nn.Module:
    """Make the rest."""
    return nn.Sequential(*(STAGES[name]() for name in list(STAGES)[1:]))


class Honest:
    """A coordinator that trains its layers for the task."""

    def __init__(self, seed: int) -> None:
        """Begin anew."""
        torch.manual_seed(key(seed, "back") >> 1)
        self.back = back()
        self.optimizer = torch.optim.Adam(self.back.parameters(), 1e-3)

    def gradient(self, smashed: Tensor, labels: Tensor) -> Tensor:
        """Do its half of a step."""
        smashed = smashed.detach().requires_grad_()
        loss = binary_cross_entropy_with_logits(self.back(smashed)[:, 0], labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        assert smashed.grad is not None
        return smashed.grad

    def gain(self, smashed: Tensor, images: Tensor) -> float:
        """Reconstruct nothing."""
        return -np.inf


class Hijacker:
    """A coordinator that makes the front's output like its pilot's, which it can decode (Pasquini 2021).

    The critic is Wasserstein's with a gradient penalty (Gulrajani 2017), as in its source.
    """

    def __init__(self, seed: int) -> None:
        """Take the pilot and its decoder, trained before the run begins."""
        self.images, self.pilot, self.decoder = _pilot()
        torch.manual_seed(key(seed, "critic") >> 1)
        self.critic = nn.Sequential(
            nn.Conv2d(8, 32, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(32, 32, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(32 * (PIXELS // 4) ** 2, 1),
        )  # fmt: skip
        self.optimizer = torch.optim.Adam(self.critic.parameters(), 1e-3, betas=(0.5, 0.9))

    def gradient(self, smashed: Tensor, labels: Tensor) -> Tensor:
        """Train the critic, and give what makes the front's output look like the pilot's."""
        smashed = smashed.detach()
        with torch.no_grad():
            wanted = self.pilot(self.images[torch.randint(len(self.images), (len(smashed),))])
        share = torch.rand(len(smashed), 1, 1, 1)
        between = (share * wanted + (1 - share) * smashed).requires_grad_()
        (slope,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
        penalty = 10 * (slope.flatten(1).norm(dim=1) - 1).square().mean()
        self.optimizer.zero_grad()
        (self.critic(smashed).mean() - self.critic(wanted).mean() + penalty).backward()
        self.optimizer.step()
        smashed = smashed.clone().requires_grad_()
        (-self.critic(smashed).mean()).backward()
        assert smashed.grad is not None
        return smashed.grad

    @torch.no_grad()
    def gain(self, smashed: Tensor, images: Tensor) -> float:
        """Give by how many dB its picture of the records beats the mean of its own."""
        grey = mse_loss(self.images.mean(0, keepdim=True).expand_as(images), images)
        return float(10 * torch.log10(grey / mse_loss(self.decoder(smashed), images)))


@cache
def _pilot(steps: int = 600) -> tuple[Tensor, nn.Module, nn.Module]:
    """Train an autoencoder on patients of the attacker's own."""
    torch.manual_seed(0)
    images = everyone()[0][:ATTACKERS]
    pilot, decoder = front(), _decoder()
    optimizer = torch.optim.Adam([*pilot.parameters(), *decoder.parameters()], 3e-3)
    for _ in range(steps):
        batch = images[torch.randint(len(images), (BATCH,))]
        optimizer.zero_grad()
        mse_loss(decoder(pilot(batch)), batch).backward()
        optimizer.step()
    return images, pilot, decoder


def _decoder() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(8, 32, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2),
        nn.Conv2d(32, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 3, padding=1), nn.Sigmoid(),
    )  # fmt: skip


def train(seed: int, *, hijacked: bool, steps: int, scrutiny: Scrutiny | None) -> Run:
    """Train a site's front until it suspects its coordinator, or for so many steps."""
    images, labels = of_the_site(seed)
    coordinator = Hijacker(seed) if hijacked else Honest(seed)
    torch.manual_seed(key(seed, "front") >> 1)
    own = front()
    optimizer = torch.optim.Adam(own.parameters(), 1e-3)
    best, least = -np.inf, np.inf
    for step, rows in enumerate(_batches(seed, steps)):
        smashed = own(images[rows])
        best = max(best, coordinator.gain(smashed, images[rows]))
        gradient = coordinator.gradient(smashed, labels[rows])
        if scrutiny:
            suspected = scrutiny.suspects(gradient, labels[rows])
            if len(scrutiny.scores) == scrutiny.window:
                least = min(least, scrutiny.mean())
            if suspected:
                return Run(step + 1, best, least)
        optimizer.zero_grad()
        smashed.backward(gradient)
        optimizer.step()
    return Run(None, best, least)


def _batches(seed: int, steps: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(key(seed, "batches") >> 1)
    for _ in range(steps):
        yield torch.randperm(RECORDS, generator=generator)[:BATCH]


def main() -> None:
    """Print how many of the runs were found in time, how many honest ones were stopped, and that it works."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--honest-steps", type=int, default=100)
    parser.add_argument("--unwatched-steps", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    gain = train(0, hijacked=True, steps=options.unwatched_steps, scrutiny=None).gain
    print(
        f"unwatched, {options.unwatched_steps} steps: {gain:+.1f} dB over the grey image at best", flush=True
    )
    found = [train(seed, hijacked=True, steps=100, scrutiny=Scrutiny()) for seed in range(options.runs)]
    in_time = [each for each in found if each.stopped and each.gain < GAIN_DB]
    print(
        f"hijacked: {len(in_time)} of {options.runs} found in time; last after "
        f"{max(each.stopped or 0 for each in found)} steps, largest gain {max(e.gain for e in found):.1f} dB"
    )
    honest = [
        train(seed, hijacked=False, steps=options.honest_steps, scrutiny=Scrutiny())
        for seed in range(options.runs)
    ]
    alarms = sum(each.stopped is not None for each in honest)
    print(
        f"honest, {options.honest_steps} steps: {alarms} of {options.runs} stopped; least mean score "
        f"{min(each.least for each in honest):.2f}"
    )


if __name__ == "__main__":
    main()
