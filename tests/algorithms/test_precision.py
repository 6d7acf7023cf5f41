"""Mixed precision changes bits and no equality; a device that is not there is refused."""

import pytest
import torch
from federation import a_run, federate
from synthetic_results import SITES, evaluation
from test_exactness import CNN, FUSION, GRU, MLP, SHAPES, SIZES, assert_equal_runs, everything

from coordinator.algorithms.cohort import Cohort
from coordinator.algorithms.party import Party
from coordinator.config import Clip, Site
from coordinator.devices import check_device
from coordinator.errors import ConfigError
from coordinator.protocol.messages import Activations
from coordinator.runs import runs_of

MIXED = {"precision": "bf16_mixed"}
CUTS = {
    "mlp": ("layer1", "layer2"), "cnn": ("conv1", "conv2"), "gru": ("gru", "layer1"),
    "fusion": ("fronts", "layer1"),
}  # fmt: skip


@pytest.mark.parametrize("model", [MLP, CNN, GRU, FUSION], ids=lambda model: model.name)
def test_mixed_split_over_unequal_sites_equals_mixed_centralized(model):
    shape, cut = SHAPES[model.name], CUTS[model.name]
    changes = {"model": model, "training": {**MIXED, "clip": Clip(norm=0.5)}}
    reference = everything("centralized", SIZES, shape, batches="by_site", **changes)
    for preset in ("split", "split_u") if model is MLP else ("split_u",):
        own = cut[: 1 + (preset == "split_u")]
        assert_equal_runs(everything(preset, SIZES, shape, cut=own, **changes), reference)
    assert all(torch.isfinite(value).all() for value in reference[0].values())
    assert {value.dtype for value in reference[0].values()} == {torch.float32}
    changes["training"] = {"clip": Clip(norm=0.5)}
    full = everything("centralized", SIZES, shape, batches="by_site", **changes)
    assert any(not torch.equal(full[0][name], value) for name, value in reference[0].items())
    assert full[3] == pytest.approx(reference[3], rel=0.1)


@pytest.mark.parametrize("preset", ["split", "split_u", "fedavg", "local"])
def test_one_mixed_site_equals_mixed_centralized(preset):
    kept = {"optimizer_state": "kept"} if preset == "fedavg" else {}
    cut = ("layer1", "layer2") if preset == "split_u" else ("layer1",)
    reference = everything("centralized", (60,), (6,), training=MIXED)
    assert_equal_runs(everything(preset, (60,), (6,), training=MIXED, cut=cut, **kept), reference)


def test_what_crosses_a_mixed_cut_is_float32():
    _, outcomes, _ = federate(a_run("split", (40, 20), training=MIXED), (40, 20))
    sent = [message.tensor for message in outcomes["site0"][2] if isinstance(message, Activations)]
    assert len(sent) > 4
    assert {str(tensor.dtype) for tensor in sent} == {"float32"}


def test_each_party_has_the_study_s_device_or_its_own(tmp_path):
    study = evaluation(tmp_path).study
    sites = {name: Site(name=name) for name in SITES}
    sites["south"] = Site(name="south", device="cuda")

    def devices(study):
        return next(iter(runs_of(study, {"tumour": {}}, sites).values())).devices

    assert devices(study) == {"south": "cuda"}
    sites["north"] = Site(name="north", device="cpu")
    everywhere = dict.fromkeys(("coordinator", "pooled", "south", "west"), "cuda")
    assert devices(study.model_copy(update={"device": "cuda"})) == everywhere


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    run = a_run("split", (40, 20)).model_copy(update={"devices": {"site1": "cuda", "coordinator": "cuda"}})
    cohort = Cohort((6,), (40, 20), (5, 5), (5, 5))
    check_device(Party(run, cohort, 0), "site0")
    for index, name in ((1, "site1"), (-1, "coordinator")):
        with pytest.raises(ConfigError, match=f"'{name}' is to compute on cuda, and torch .* finds no GPU"):
            check_device(Party(run, cohort, index), name)
