"""What the server does with the sites' models: x the model they began with, y_i what site i sent back.

A rule gives the next x from x and the average of the y_i, or from x, [y_i] and weights p_i that add up to 1
after division by their sum. Its memory lies in `party.server`, in float64 where it is arithmetic of its own.
"""

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor

from coordinator.algorithms.party import Party
from coordinator.algorithms.training import weighted_mean
from coordinator.rates import rate_at
from coordinator.schedule import LocalRound, site_round

Tensors = list[Tensor]
Rule = Callable[[Party, Tensors, Tensors], Tensors]
RuleOfEach = Callable[[Party, LocalRound, Tensors, list[Tensors], Sequence[float]], Tensors]


def mean(party: Party, x: Tensors, average: Tensors) -> Tensors:
    """X <- sum_i p_i y_i  (FedAvg: McMahan 2017, algorithm 1), or another aggregate of the y_i."""
    return average


@torch.no_grad()
def adaptive(party: Party, x: Tensors, average: Tensors) -> Tensors:
    """FedAdagrad, FedYogi and FedAdam (Reddi 2021, algorithm 2).

    d = sum_i p_i (y_i - x);  m <- b1 m + (1 - b1) d;  x <- x + eta m / (sqrt(v) + tau), with
    v <- v + d^2 (Adagrad),  v - (1 - b2) d^2 sign(v - d^2) (Yogi),  b2 v + (1 - b2) d^2 (Adam).
    v begins at tau^2, as in the paper's experiments; moments are not debiased, as there.
    """
    run, server = party.run, party.server
    if not server:
        server["m"] = [torch.zeros_like(value, dtype=torch.float64) for value in x]
        server["v"] = [torch.full_like(value, run.server_tau**2, dtype=torch.float64) for value in x]
    found = []
    for place, (old, middle) in enumerate(zip(x, average, strict=True)):
        d = middle.double() - old.double()
        m = server["m"][place] = run.server_beta1 * server["m"][place] + (1 - run.server_beta1) * d
        v = server["v"][place] = _second(run.rule, server["v"][place], d**2, run.server_beta2)
        found.append((old.double() + run.server_rate * m / (v.sqrt() + run.server_tau)).to(old.dtype))
    return found


@torch.no_grad()
def scaffold(
    party: Party, item: LocalRound, x: Tensors, models: list[Tensors], weights: Sequence[float]
) -> Tensors:
    """SCAFFOLD with option II (Karimireddy 2020, algorithm 1); the server keeps every c_i.

    c_i <- c_i - c + (x - y_i) / (K_i eta_l);  x <- x + eta_g sum_i p_i (y_i - x);  c <- sum_i p_i c_i over
    all sites, which with weights 1/N is the paper's c + (|S| / N) (the mean change over the sites S).
    """
    controls, c = controls_of(party, x), party.server["c"]
    training = party.run.training
    rate = rate_at(training, training.learning_rates[item.trial], item.round)
    for site, model in zip(item.sites, models, strict=True):
        if steps := local_steps(party, item, site):
            controls[site] = [
                own - common + (old.double() - new.double()) / (steps * rate)
                for own, common, old, new in zip(controls[site], c, x, model, strict=True)
            ]
    everyone = [float(n if party.run.site_weights == "records" else n > 0) for n in party.cohort.train]
    party.server["c"] = weighted_mean([controls[site] for site in sorted(controls)], everyone)
    average, eta = weighted_mean(models, weights), party.run.server_rate
    if eta == 1:
        return average
    return [
        (o.double() + eta * (a.double() - o.double())).to(o.dtype) for o, a in zip(x, average, strict=True)
    ]


def controls_of(party: Party, x: Tensors) -> dict[int, Tensors]:
    """Give every site's control variate, zero before the first round."""
    if not party.server:
        zeros = [torch.zeros_like(value, dtype=torch.float64) for value in x]
        party.server |= {"c": zeros, "controls": {site: zeros for site, _ in enumerate(party.cohort.train)}}
    controls: dict[int, Tensors] = party.server["controls"]
    return controls


def correction(party: Party, x: Tensors, site: int) -> Tensors:
    """Give c - c_i, which a site adds to each of its gradients, as float32."""
    own = controls_of(party, x)[site]
    return [(c - mine).to(v.dtype) for c, mine, v in zip(party.server["c"], own, x, strict=True)]


@torch.no_grad()
def nova(
    party: Party, item: LocalRound, x: Tensors, models: list[Tensors], weights: Sequence[float]
) -> Tensors:
    """FedNova (Wang 2020, eq. 6): x <- x - (sum_i p_i a_i) sum_i p_i (x - y_i) / a_i.

    a_i is the weight that site i's own optimizer gave to a gradient, added up over its tau_i steps: tau_i for
    plain SGD, (tau_i - rho (1 - rho^tau_i) / (1 - rho)) / (1 - rho) with momentum rho.
    """
    total = sum(weights)
    p = [weight / total for weight in weights]
    a = [_effective_steps(local_steps(party, item, site), party.run.training.momentum) for site in item.sites]
    effective = sum(share * steps for share, steps in zip(p, a, strict=True))
    found = []
    for place, old in enumerate(x):
        change = torch.zeros_like(old, dtype=torch.float64)
        for share, steps, model in zip(p, a, models, strict=True):
            if share:
                change += share * (old.double() - model[place].double()) / steps
        found.append((old.double() - effective * change).to(old.dtype))
    return found


def local_steps(party: Party, item: LocalRound, site: int) -> int:
    """Count the steps a site makes in a round."""
    return sum(1 for _ in site_round(party.run, item.trial, item.round, site, party.cohort.train[site]))


def _effective_steps(steps: int, momentum: float) -> float:
    if not momentum:
        return float(steps)
    return (steps - momentum * (1 - momentum**steps) / (1 - momentum)) / (1 - momentum)


def _second(rule: str, v: Tensor, squared: Tensor, beta2: float) -> Tensor:
    if rule == "fedadagrad":
        return v + squared
    if rule == "fedyogi":
        return v - (1 - beta2) * squared * torch.sign(v - squared)
    return beta2 * v + (1 - beta2) * squared


RULES: Final[dict[str, Rule]] = {
    "fedavg": mean,
    "fedprox": mean,  # what differs is at the sites
    "fedbn": mean,  # what differs is which tensors are averaged
    "fedadam": adaptive,
    "fedyogi": adaptive,
    "fedadagrad": adaptive,
}
RULES_OF_EACH: Final[dict[str, RuleOfEach]] = {
    "scaffold": scaffold,
    "fednova": nova,
}
