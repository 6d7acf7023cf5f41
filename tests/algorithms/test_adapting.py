"""A final model adapted at each site: what changes, what does not, and what never leaves."""

import numpy as np
import pytest
import torch
from federation import a_run, federate
from finished_run import cut_for, finish
from test_exactness import SIZES
from test_prediction import Served, enter, site_parts

from coordinator import final_model
from coordinator.algorithms.prediction import site_logits
from coordinator.config import Strategy
from coordinator.errors import ConfigError
from coordinator.export import gathered
from coordinator.fitting_rules import check_adapting
from coordinator.presets import PRESETS
from coordinator.protocol.keys import COORDINATOR
from coordinator.protocol.messages import Done, Gradients, Sealed, Weights
from coordinator.runs import sequence_of
from coordinator.schedule import epoch
from coordinator.strategies import axes_of

ADAPTABLE = [name for name, axes in PRESETS.items() if axes["algorithm"] != "local"]
CUT = [name for name in ADAPTABLE if PRESETS[name]["algorithm"] == "split"]
SGD = {"scaffold": {"training": {"optimizer": "sgd"}}, "fednova": {"training": {"optimizer": "sgd"}}}


def ran(preset, sizes=SIZES, **changes):
    """Run it; gives the coordinator's party, and the sites' (party, logits, sent, channel) in order."""
    run = a_run(preset, sizes, cut=cut_for(preset), **{**SGD.get(preset, {}), **changes})
    coordinator, outcomes, _ = federate(run, sizes)
    return coordinator, [outcomes[name] for name in run.parties]


def tensors(party):
    """Name the tensors of a party's parts."""
    return {name: value for part in party.parts.values() for name, value in part.state_dict().items()}


@pytest.mark.parametrize("preset", ADAPTABLE)
def test_sites_differ_from_the_final_model_and_the_coordinator_does_not(preset):
    plain, sites = ran(preset)
    adapted, changed = ran(preset, adapt=2)
    for name, value in tensors(plain).items():
        assert torch.equal(value, tensors(adapted)[name])
    for size, (party, logits, *_), (other, others, *_) in zip(SIZES, sites, changed, strict=True):
        same = all(torch.equal(value, tensors(other)[name]) for name, value in tensors(party).items())
        assert not same
        assert not torch.equal(logits[0], others[0])
        assert other.records_trained == party.records_trained + 2 * size


@pytest.mark.parametrize("preset", ADAPTABLE)
def test_no_epochs_leave_the_final_model_as_it_is(preset):
    for (party, logits, sent, _), (other, others, more, _) in zip(
        ran(preset)[1], ran(preset, adapt=0)[1], strict=True
    ):
        assert all(torch.equal(value, tensors(other)[name]) for name, value in tensors(party).items())
        assert torch.equal(logits[0], others[0])
        assert len(sent) == len(more)


@pytest.mark.parametrize("preset", CUT)
def test_layers_learn_as_torch_does_where_the_rest_is_frozen(preset):
    run = a_run(preset, SIZES, cut=cut_for(preset), adapt=3)
    coordinator, sites = ran(preset)
    wanted = [party for party, *_ in ran(preset, adapt=3)[1]]
    (frozen,) = coordinator.parts.values()
    for (party, *_), found in zip(sites, wanted, strict=True):
        by_torch(run, party, frozen)
        for name, value in tensors(party).items():
            torch.testing.assert_close(tensors(found)[name], value, rtol=0, atol=1e-6)


def by_torch(run, party, frozen):
    """Train a site's parts for the run's epochs beneath layers that stay as they are, by torch's Adam."""
    front, head = party.parts["front"], party.parts.get("head")
    parameters = [value for part in party.parts.values() for value in part.parameters()]
    adam = torch.optim.Adam(parameters, lr=run.training.learning_rates[0])
    train, step = party.rows.train, 0
    for part in party.parts.values():
        part.train()
    for passed in range(run.adapt):
        for records in epoch(run, run.training.rounds, party.index, passed, len(train.labels)):
            draw = (run.seed, "forward", run.training.rounds, party.index, step)
            logits = frozen(front(train.inputs[records], draw))
            logits = head(logits, draw) if head else logits
            adam.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(
                logits[:, 0], train.labels[records]
            ).backward()
            adam.step()
            step += 1


@pytest.mark.parametrize("preset", ADAPTABLE)
def test_what_was_adapted_never_leaves(preset):
    rounds = 2
    for party, _, sent, _ in ran(preset, adapt=2)[1]:
        own = [value.numpy().tobytes() for value in tensors(party).values() if value.numel() > 1]
        for message in sent:
            after = getattr(message, "position", (0, 0))[1] >= rounds
            assert not (after and isinstance(message, (Weights, Gradients, Sealed)))
            for array in arrays(message):
                assert not any(each in array.tobytes() for each in own)


def arrays(message):
    values = [getattr(message, name) for name in message.__struct_fields__]
    inside = [each for value in values for each in (value if isinstance(value, tuple) else (value,))]
    return [each for each in inside if isinstance(each, np.ndarray)]


@pytest.mark.parametrize("preset", ["split_private", "multi_head", "splitfed_v3"])
def test_a_site_that_was_not_there_gets_a_front_of_its_own(preset):
    late = {"training": {"optimizer": "sgd", "rounds": 4, "learning_rates": (30.0,)}, "join": {"site0": 3}}
    assert torch.isnan(ran(preset, **late)[1][0][1][0]).all()  # the first rounds' model is the best
    kept, sites = ran(preset, **late, adapt=1)
    assert kept.best_at[1] < 3
    assert not torch.isnan(sites[0][1][0]).any()
    assert sites[0][0].parts


def test_a_site_without_training_records_adapts_nothing():
    sizes = (60, 0)
    _, sites = ran("split_private", sizes, adapt=2)
    assert torch.isnan(sites[1][1][0]).all()
    for preset in ("fedavg", "split"):
        assert torch.equal(ran(preset, sizes)[1][1][1][0], ran(preset, sizes, adapt=2)[1][1][1][0])


@pytest.mark.parametrize("preset", ["fedavg", "split"])
def test_the_learning_rate_stays_that_of_the_grid(preset):
    """A schedule that ends at 0, and a warm-up, are over."""
    steps = {"rounds": 2, "warm_up": 1, "schedule": "cosine"}
    adapted, plain = (ran(preset, training=steps, adapt=epochs)[1][0][0] for epochs in (1, 0))
    # Adam's first step alone moves a parameter by the rate, 0.05
    assert max(float(each.abs().max()) for each in moved(plain, adapted)) > 0.05


def moved(before, after):
    return [tensors(after)[name] - value for name, value in tensors(before).items()]


@pytest.mark.parametrize("preset", ["fedavg", "split", "split_u"])
def test_a_limit_is_of_the_site_s_own_gradient(preset):
    training = {"optimizer": "sgd", "clip": {"norm": 1e-3, "scope": "global"}}
    sites = zip(ran(preset, training=training)[1], ran(preset, training=training, adapt=1)[1], strict=True)
    for size, ((plain, *_), (adapted, *_)) in zip(SIZES, sites, strict=True):
        far = torch.cat([each.flatten() for each in moved(plain, adapted)]).norm()
        assert 0 < far < -(-size // 16) * 0.05 * 1e-3 * 1.01


@pytest.mark.parametrize("preset", ["split", "split_private"])
def test_an_adapted_model_predicts_through_the_coordinator(tmp_path, preset):
    folder, everyone = finish(tmp_path, preset, adapt=2)
    with Served(folder) as served:
        party, what = site_parts(folder, "site1")
        channel, _ = enter(served, "site1", party, what, tmp_path)
        assert torch.equal(
            site_logits(party, everyone["site1"][0].rows.test[0], channel), everyone["site1"][1][0]
        )
        channel.leave(Done({}, {}))


@pytest.mark.parametrize(("preset", "needs"), [("fedavg", ("site",)), ("split", ("coordinator", "site"))])
def test_an_adapted_model_is_exported_where_its_site_gives_it(tmp_path, preset, needs):
    folder, everyone = finish(tmp_path, preset, adapt=1)
    model = final_model.read(folder)
    assert model.whole.needs == needs
    assert "adapted" in model.whole.why
    with pytest.raises(ConfigError, match="a site that agrees gives its file"):
        gathered(model, folder, None)
    assert set(gathered(model, folder, folder / "model" / "site1.safetensors")) == {
        "coordinator" if each == "coordinator" else "site1" for each in needs
    }
    assert everyone[COORDINATOR][0].parts


@pytest.mark.parametrize(
    ("label", "preset", "words"),
    [
        ("mine", "local", "a model of its own already"),
        ("mine", "centralized", "not at the sites"),
        ("split", None, "split_adapted: {preset: split, adapt: 2}"),
    ],
)
def test_adapting_that_means_nothing_or_is_not_told_is_refused(label, preset, words):
    wanted = Strategy(preset=preset, adapt=2)
    with pytest.raises(ConfigError, match=words) as caught:
        check_adapting(label, axes_of(label, wanted), wanted)
    assert caught.value.key == f"strategies.{label}.adapt"
    check_adapting(label, axes_of(label, wanted), Strategy(preset=preset))


@pytest.mark.parametrize("preset", ADAPTABLE)
def test_every_other_preset_adapts(preset):
    wanted = Strategy(preset=preset, adapt=2)
    check_adapting("mine", axes_of("mine", wanted), wanted)


def test_an_adapted_model_is_identical_to_none_that_is_not_or_holds_other_layers():
    runs = [a_run("split", SIZES), a_run("split", SIZES, adapt=1), a_run("split", SIZES, adapt=2)]
    runs += [a_run("split_u", SIZES, cut=cut_for("split_u"), adapt=1), a_run("cyclic", SIZES, adapt=1)]
    assert len({sequence_of(run) for run in runs}) == len(runs)
