"""The epsilons of FIELD.md's last paragraph, and what composes."""

from math import isclose, log, sqrt

import pytest
from federation import a_run

from coordinator.privacy.accounting import Cost, least_scale, noise_cost, planned_epochs, pure_cost


@pytest.mark.parametrize(("epsilon", "releases", "clips"), [(10, 1, 1.1), (10, 20, 5.1), (1, 20, 44)])
def test_the_noise_that_a_clipped_activation_needs_is_that_of_the_reference(epsilon, releases, clips):
    found = least_scale("gaussian", releases, epsilon, 1e-5)
    assert float(f"{found:.2g}") == clips
    assert isclose(noise_cost("gaussian", found).times(releases).epsilon(1e-5), epsilon, rel_tol=1e-9)
    assert noise_cost("gaussian", 0.99 * found).times(releases).epsilon(1e-5) > epsilon


def test_gaussian_noise_of_a_clip_has_rho_two_since_a_replaced_record_moves_by_two_clips():
    assert noise_cost("gaussian", 1.0) == Cost(rho=2.0)
    assert noise_cost("gaussian", 1.0).epsilon(1e-5) == 2 + 2 * sqrt(2 * log(1e5))


def test_few_laplace_releases_add_up_purely_and_many_by_concentrated_privacy():
    once = noise_cost("laplace", 4.0)
    assert once.epsilon(1e-5) == 0.5
    assert once.times(4).epsilon(1e-5) == 2.0
    assert once.times(10_000).epsilon(1e-5) < 5000
    assert once.times(10_000).epsilon(1e-5) == 1250 + 2 * sqrt(1250 * log(1e5))


def test_labels_take_their_share_of_the_budget():
    labels = pure_cost(2.0)
    assert least_scale("gaussian", 20, 10, 1e-5, labels) > least_scale("gaussian", 20, 10, 1e-5)
    with pytest.raises(ValueError, match="nothing is left"):
        least_scale("gaussian", 20, 1, 1e-5, pure_cost(5.0))


def test_every_trial_epoch_and_adapting_pass_is_planned_for_and_no_round_in_which_a_site_is_absent():
    training = {"rounds": 3, "local_epochs": 2, "learning_rates": (0.1, 0.2), "epochs_by_site": {"site1": 4}}
    run = a_run("split", (10, 10), training=training, adapt=1)
    assert [planned_epochs(run, site) for site in (0, 1)] == [13, 25]
    late = run.model_copy(update={"join": {"site1": 2}})
    assert [planned_epochs(late, site) for site in (0, 1)] == [13, 9]
