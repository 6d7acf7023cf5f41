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

from coordinator.config import Scanner
from coordinator.draws import key
from coordinator.privacy.hijacking import Scrutiny
from sites.datasets.chest_phantom import person, radiograph

PIXELS, BATCH, RECORDS = 16, 32, 240
GAIN_DB = 3.0


class Run(NamedTuple):
    """When the site stopped, the decoder's best gain over the grey image until then, all scores' least."""

    stopped: int | None
    gain: float
    least: float


@cache
def pictures(seed: int) -> tuple[Tensor, Tensor]:
    """Invent patients; give images (records, 1, pixels, pixels) between 0 and 1, and findings (records,)."""
    rng = np.random.default_rng(key(seed, "findings"))
    findings = rng.random(RECORDS) < 0.4
    drawn = [
        radiograph(person(seed, i, bool(sick)), 0, Scanner(spacing_mm=1.0, contrast=1.0))
        for i, sick in enumerate(findings)
    ]
    images = torch.from_numpy(np.stack([_small(each) for each in drawn]))[:, None].float()
    return images, torch.from_numpy(findings).float()


def _small(picture: np.ndarray) -> np.ndarray:
    rows = np.array_split(np.arange(picture.shape[0]), PIXELS)
    columns = np.array_split(np.arange(picture.shape[1]), PIXELS)
    return np.array([[picture[np.ix_(r, c)].mean() for c in columns] for r in rows])


def front() -> nn.Module:
    """Make the first stage of the default study's network for images."""
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.GroupNorm(1, 8), nn.ReLU(), nn.MaxPool2d(2))


def back() -> nn.Module:
    """Make the rest."""
    return nn.Sequential(
        nn.Conv2d(8, 16, 3, padding=1), nn.GroupNorm(1, 16), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(16 * (PIXELS // 4) ** 2, 1),
    )  # fmt: skip


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
    """A coordinator that makes the front's output like its pilot's, which it can decode (Pasquini 2021)."""

    def __init__(self, seed: int, *, pilot_steps: int = 300) -> None:
        """Train the pilot and its decoder on other patients, as it may before the run begins."""
        torch.manual_seed(key(seed, "hijacker") >> 1)
        self.images, _ = pictures(key(seed, "auxiliary") >> 33)
        self.pilot, self.decoder = front(), _decoder()
        self.critic = nn.Sequential(
            nn.Conv2d(8, 32, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(32, 32, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(32 * (PIXELS // 4) ** 2, 1),
        )  # fmt: skip
        both = [*self.pilot.parameters(), *self.decoder.parameters()]
        optimizer = torch.optim.Adam(both, 3e-3)
        for _ in range(pilot_steps):
            batch = self._batch()
            optimizer.zero_grad()
            mse_loss(self.decoder(self.pilot(batch)), batch).backward()
            optimizer.step()
        self.optimizer = torch.optim.Adam(self.critic.parameters(), 1e-3)

    def gradient(self, smashed: Tensor, labels: Tensor) -> Tensor:
        """Train the critic, and give what makes the front's output look like the pilot's."""
        smashed = smashed.detach()
        with torch.no_grad():
            wanted = self.pilot(self._batch())
        said = torch.cat([self.critic(wanted), self.critic(smashed)])[:, 0]
        truth = torch.cat([torch.ones(len(wanted)), torch.zeros(len(smashed))])
        self.optimizer.zero_grad()
        binary_cross_entropy_with_logits(said, truth).backward()
        self.optimizer.step()
        smashed = smashed.clone().requires_grad_()
        fooled = self.critic(smashed)[:, 0]
        binary_cross_entropy_with_logits(fooled, torch.ones(len(smashed))).backward()
        assert smashed.grad is not None
        return smashed.grad

    @torch.no_grad()
    def gain(self, smashed: Tensor, images: Tensor) -> float:
        """Give by how many dB its picture of the records beats the mean of its own."""
        grey = mse_loss(self.images.mean(0, keepdim=True).expand_as(images), images)
        return float(10 * torch.log10(grey / mse_loss(self.decoder(smashed), images)))

    def _batch(self) -> Tensor:
        return self.images[torch.randint(len(self.images), (BATCH,))]


def _decoder() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(8, 32, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2),
        nn.Conv2d(32, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 3, padding=1), nn.Sigmoid(),
    )  # fmt: skip


def train(seed: int, *, hijacked: bool, steps: int, scrutiny: Scrutiny | None) -> Run:
    """Train a site's front until it suspects its coordinator, or for so many steps."""
    images, labels = pictures(key(seed, "site") >> 33)
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
    parser.add_argument("--honest-steps", type=int, default=300)
    options = parser.parse_args()
    torch.set_num_threads(1)
    unwatched = [train(seed, hijacked=True, steps=1500, scrutiny=None).gain for seed in range(2)]
    print(f"unwatched, 1500 steps: gains over the grey image {[round(each, 1) for each in unwatched]} dB")
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
