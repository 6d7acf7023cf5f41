"""FedAvg's kin: what each equals by construction, comes close to by its formula, and differs from."""

import numpy as np
import pytest
import torch
from federation import a_run, federate
from test_exactness import OPTIMIZERS, SIZES, assert_equal_runs, assert_same, everything

from coordinator.algorithms.building import builders_of
from coordinator.algorithms.federated import shared
from coordinator.algorithms.training import floats
from coordinator.config import Model
from coordinator.models.stages import build
from coordinator.protocol.messages import Weights

PLAIN = Model(name="mlp", hidden=(16, 8))
CNN = Model(name="cnn", channels=(4, 8))
SGD = {"optimizer": "sgd", "learning_rates": (0.05,)}
FULL = {**SGD, "batch_size": 1000}  # one step a round
RULES = ("fedprox", "fedadam", "fedyogi", "fedadagrad", "scaffold", "fedbn", "fednova")


def model_of(preset, sizes=SIZES, *, shape=(6,), site_weights="records", **changes):
    """Run a strategy; give the coordinator's whole model, and the sites' parties."""
    run = a_run(preset, sizes, **changes).model_copy(update={"site_weights": site_weights})
    coordinator, outcomes, _ = federate(run, sizes, shape)
    return coordinator.parts["model"].state_dict(), [outcomes[name][0] for name in run.parties]


def largest(left, right):
    assert left.keys() == right.keys()
    return max(float((left[name] - right[name]).abs().max()) for name in left)


@pytest.mark.parametrize("training", OPTIMIZERS)
@pytest.mark.parametrize(("preset", "changes"), [("fedprox", {"proximal_mu": 0.0}), ("fedbn", {})])
def test_one_site_equals_centralized(preset, changes, training):
    reference = everything("centralized", (100,), (6,), training=training)
    found = everything(preset, (100,), (6,), training=training, optimizer_state="kept", **changes)
    assert_equal_runs(found, reference)


def test_one_site_with_scaffold_equals_centralized_bit_for_bit():
    training = {**SGD, "rounds": 4, "local_epochs": 2}
    reference = everything("centralized", (100,), (6,), training=training)
    assert_equal_runs(everything("scaffold", (100,), (6,), training=training), reference)


@pytest.mark.parametrize("training", OPTIMIZERS)
def test_fedprox_without_its_term_is_fedavg(training):
    fedavg = model_of("fedavg", training=training)[0]
    assert_same(model_of("fedprox", training=training, proximal_mu=0.0)[0], fedavg)
    assert largest(model_of("fedprox", training=training, proximal_mu=1.0)[0], fedavg) > 1e-4


def initial(run, shape=(6,)):
    """Give the tensors that every party begins with."""
    return floats(build(builders_of(run, shape), run.seed))


def sent_by(outcomes, site):
    """Give the models a site sent, round by round, as float64."""
    messages = [message for message in outcomes[site][2] if isinstance(message, Weights)]
    return [[value.astype(np.float64) for value in message.tensors] for message in messages]


def test_fedprox_holds_sites_near_where_they_began():
    moved = {}
    for mu in (0.0, 0.1, 10.0):
        run = a_run("fedprox", SIZES, training={**SGD, "rounds": 1, "local_epochs": 5}, proximal_mu=mu)
        _, outcomes, _ = federate(run, SIZES)
        pairs = zip(sent_by(outcomes, "site0")[0], initial(run), strict=True)
        moved[mu] = sum(float(np.abs(new - old.numpy()).sum()) for new, old in pairs)
    assert moved[0.0] > moved[0.1] > moved[10.0]


def test_fedbn_without_normalisation_layers_is_fedavg():
    assert_same(model_of("fedbn")[0], model_of("fedavg")[0])


def test_fedbn_keeps_normalisation_at_the_sites():
    fedavg, _ = model_of("fedavg", model=CNN, shape=(1, 8, 8))
    fedbn, sites = model_of("fedbn", model=CNN, shape=(1, 8, 8))
    norms = [name for name in fedavg if ".1." in name]  # GroupNorm stands second in a convolution
    assert norms
    parts = [party.parts["model"].state_dict() for party in sites]
    for name in fedavg:
        same = all(torch.equal(part[name], parts[0][name]) for part in parts)
        assert same == (name not in norms)
    assert len(shared(sites[0])) == len(fedavg) - len(norms)
    assert largest({name: fedbn[name] for name in norms}, {name: fedavg[name] for name in norms}) > 0


@pytest.mark.parametrize("site_weights", ["records", "equal"])
def test_fednova_with_equal_local_steps_is_fedavg(site_weights):
    sizes = (32, 30, 28, 25)  # two batches each
    for training in (SGD, {**SGD, "momentum": 0.9}):
        fedavg = model_of("fedavg", sizes, training=training, site_weights=site_weights)[0]
        fednova = model_of("fednova", sizes, training=training, site_weights=site_weights)[0]
        assert largest(fednova, fedavg) < 1e-6
    unequal = model_of("fednova", training=SGD)[0]
    assert largest(unequal, model_of("fedavg", training=SGD)[0]) > 1e-4


def test_fednova_weighs_each_site_by_its_steps():
    run = a_run("fednova", (100, 17), training={**SGD, "rounds": 1}, model=PLAIN)
    coordinator, outcomes, _ = federate(run, (100, 17))
    y = [sent_by(outcomes, site)[0] for site in run.sites]
    p, tau = (100 / 117, 17 / 117), (7, 2)  # batches of 16
    effective = sum(share * steps for share, steps in zip(p, tau, strict=True))
    for place, (old, new) in enumerate(zip(initial(run), floats(coordinator.parts["model"]), strict=True)):
        step = sum(p[i] * (old.double().numpy() - y[i][place]) / tau[i] for i in (0, 1))
        np.testing.assert_allclose(new.numpy(), old.numpy() - effective * step, rtol=0, atol=1e-6)


@pytest.mark.parametrize("site_weights", ["records", "equal"])
def test_scaffold_s_first_round_is_fedavg_s(site_weights):
    first = {**SGD, "rounds": 1}
    fedavg = model_of("fedavg", training=first, site_weights=site_weights)[0]
    assert largest(model_of("scaffold", training=first, site_weights=site_weights)[0], fedavg) < 1e-6
    later = {**SGD, "rounds": 3}
    assert largest(model_of("scaffold", training=later)[0], model_of("fedavg", training=later)[0]) > 1e-5


def test_scaffold_with_one_full_step_a_round_is_gradient_descent_on_the_pool():
    """One local step makes every site's corrected gradient the mean one: no drift is left to correct."""
    training = {**FULL, "rounds": 3}
    scaffold, sites = model_of("scaffold", training=training, model=PLAIN)
    assert largest(scaffold, model_of("fedavg", training=training, model=PLAIN)[0]) < 1e-6
    corrections = [party.server["correction"] for party in sites]
    assert any(float(value.abs().max()) > 1e-4 for value in corrections[1].values())


def test_fedavg_with_one_full_batch_step_is_gradient_descent_on_the_pool():
    pooled = everything("centralized", SIZES, (6,), model=PLAIN, training={**FULL, "rounds": 5})[0]
    fedavg = model_of("fedavg", model=PLAIN, training={**FULL, "rounds": 5})[0]
    assert largest(fedavg, {name: pooled[name] for name in fedavg}) < 1e-6


def second_moment(rule, v, d):
    if rule == "fedadagrad":
        return v + d**2
    if rule == "fedyogi":
        return v - 0.1 * d**2 * np.sign(v - d**2)
    return 0.9 * v + 0.1 * d**2


@pytest.mark.parametrize("rule", ["fedadam", "fedyogi", "fedadagrad"])
def test_an_adaptive_server_follows_its_formula(rule):
    """By hand from what the sites sent: the model after one round, the moments after two."""
    server = {"server_rate": 0.02, "server_beta1": 0.8, "server_tau": 1e-2}
    server |= {} if rule == "fedadagrad" else {"server_beta2": 0.9}
    found = {}
    for rounds in (1, 2):
        run = a_run(rule, SIZES, model=PLAIN, training={**SGD, "rounds": rounds}, **server)
        found[rounds] = federate(run, SIZES)[:2]
    coordinator, outcomes = found[2]
    sent = [sent_by(outcomes, site) for site in run.sites]
    after = [value.double().numpy() for value in floats(found[1][0].parts["model"])]
    for place, old in enumerate(value.double().numpy() for value in initial(run)):
        first, second = (np.average([s[r][place] for s in sent], axis=0, weights=SIZES) for r in (0, 1))
        m, v = 0.2 * (first - old), second_moment(rule, np.full_like(old, 1e-4), first - old)
        np.testing.assert_allclose(after[place], old + 0.02 * m / (np.sqrt(v) + 1e-2), rtol=0, atol=1e-7)
        d = second - after[place]
        m, v = 0.8 * m + 0.2 * d, second_moment(rule, v, d)
        np.testing.assert_allclose(coordinator.server["m"][place].numpy(), m, rtol=0, atol=1e-7)
        np.testing.assert_allclose(coordinator.server["v"][place].numpy(), v, rtol=0, atol=1e-7)


def test_the_server_s_rate_scales_scaffold_s_step():
    run = a_run("scaffold", SIZES, training={**SGD, "rounds": 1})
    half, whole = (model_of("scaffold", training={**SGD, "rounds": 1}, server_rate=r)[0] for r in (0.5, 1.0))
    for old, a, b in zip(initial(run), half.values(), whole.values(), strict=True):
        torch.testing.assert_close(a - old, (b - old) / 2, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_each_differs_from_fedavg_where_it_should(rule):
    training = {**SGD, "rounds": 3, "local_epochs": 2}
    shape, model = ((1, 8, 8), CNN) if rule == "fedbn" else ((6,), PLAIN)
    fedavg = model_of("fedavg", training=training, model=model, shape=shape)[0]
    assert largest(model_of(rule, training=training, model=model, shape=shape)[0], fedavg) > 1e-6


@pytest.mark.parametrize("preset", ["fedavg", "scaffold", "fedadam", "fednova"])
def test_sites_are_drawn_by_round_and_only_they_train(preset):
    run = a_run(preset, SIZES, training={**SGD, "rounds": 6}).model_copy(update={"participation": 0.5})
    _, outcomes, _ = federate(run, SIZES)
    took_part = {
        name: [m.position[1] for m in outcomes[name][2] if isinstance(m, Weights)] for name in run.sites
    }
    by_round = [sum(round_ in rounds for rounds in took_part.values()) for round_ in range(6)]
    assert by_round == [2] * 6
    assert len({tuple(rounds) for rounds in took_part.values()}) > 1
