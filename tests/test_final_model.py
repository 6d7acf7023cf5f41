"""The manifest of a finished model: who holds which part, and whether the parts make a whole."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from coordinator import final_model
from coordinator.errors import ConfigError, ProtocolError
from coordinator.model_files import checked_parts, read_parts
from coordinator.protocol.messages import Sealed
from coordinator.specs import digest
from tests.federation import a_run
from tests.finished_run import SIZES, STATISTICS, finish

WHOLE = {"model": ("layer1", "layer2", "head")}
FRONT, BACK = {"front": ("layer1",)}, {"back": ("layer2", "head")}
U_SHAPED = {"front": ("layer1",), "head": ("head",)}
# preset -> what a site holds, what the coordinator, and whose parts make a whole model
HOLDERS = {
    "centralized": (WHOLE, {}, ("pooled",)),
    "local": (WHOLE, {}, ("site",)),
    "cyclic": (WHOLE, {}, ("site",)),
    "fedavg": (WHOLE, WHOLE, ("coordinator",)),
    "split": (FRONT, BACK, ("coordinator", "site")),
    "split_u": (U_SHAPED, {"middle": ("layer2",)}, ("coordinator", "site")),
    "splitfed_v1": (FRONT, BACK, ("coordinator", "site")),
    "split_private": (U_SHAPED, {"middle": ("layer2",)}, ()),
    "splitfed_v3": (FRONT, BACK, ()),
}


def stages(held):
    return {part: each.stages for part, each in held.items()}


@pytest.mark.parametrize("preset", HOLDERS)
def test_the_manifest_says_who_holds_what(preset, tmp_path):
    folder, everyone = finish(tmp_path, preset)
    model = final_model.read(folder)
    at_site, at_coordinator, needs = HOLDERS[preset]
    assert {name: stages(held) for name, held in model.holders.items()} == {
        name: at_coordinator if name == "coordinator" else at_site
        for name, (party, *_) in everyone.items()
        if party.parts
    }
    assert (model.whole.possible, model.whole.needs) == (bool(needs), needs)
    assert model.spec == digest(model.run)
    assert model.without == ()
    for name, file in model.files.items():
        what, parts = checked_parts(folder / file, model)
        assert (what.party, what.run, what.statistics) == (name, model.run, model.statistics)
        assert parts.keys() == model.holders[name].keys()


@pytest.mark.parametrize("preset", ["split", "split_u", "cyclic"])
def test_the_last_holder_seals_the_final_parts_to_every_site_and_the_bytes_count(preset, tmp_path):
    sizes = (30, 12, 20)
    folder, everyone = finish(tmp_path, preset, sizes)
    holders = final_model.read(folder).holders
    sites = [f"site{i}" for i in range(len(sizes))]
    assert len({str(holders[site]) for site in sites}) == 1
    _, _, sent, channel = everyone[sites[-1]]  # in the fixed order it trains last in every round
    last = [each for each in sent if isinstance(each, Sealed) and each.position[1] == 1]
    assert {each.taker for each in last} == {"site0", "site1"}
    boxes = sum(each.box.nbytes for each in sent if isinstance(each, Sealed))
    assert channel.line.bytes["up.training.sealed"] > boxes
    assert everyone["coordinator"][3].lines.counted()["up.training.sealed"] >= boxes


@pytest.mark.parametrize("preset", ["split_private", "splitfed_v3", "multi_head"])
def test_a_site_that_trained_no_front_holds_nothing(preset, tmp_path):
    folder, everyone = finish(tmp_path, preset, (30, 0))
    model = final_model.read(folder)
    assert model.without == ("site1",)
    assert not (folder / "model" / "site1.safetensors").exists()
    assert everyone["site1"][1][0].isnan().all()
    assert everyone["site0"][1][0].isfinite().all()


def test_a_party_cannot_say_that_it_holds_another_part():
    run = a_run("split", SIZES)
    statistics = {**STATISTICS, "sites": {}}
    with pytest.raises(ProtocolError, match="'site0' says it holds 'back', not front"):
        final_model.describe(run, statistics, {("site0", "back"): "0" * 64})


def test_the_statistics_hash_follows_what_inputs_depend_on_and_nothing_else(tmp_path):
    run, none = a_run("fedavg", SIZES), {}
    first = final_model.describe(run, {**STATISTICS, "sites": {}}, none).statistics
    assert final_model.describe(run, {**STATISTICS, "sites": {"a": 1}}, none).statistics == first
    other = [{**STATISTICS["numeric"][0], "mean": np.nextafter(0.0, 1)}, *STATISTICS["numeric"][1:]]
    assert final_model.describe(run, {**STATISTICS, "numeric": other}, none).statistics != first


def test_changed_or_foreign_parts_are_refused(tmp_path):
    folder, _ = finish(tmp_path, "split")
    other, _ = finish(tmp_path / "other", "split", training={"rounds": 1})
    model, path = final_model.read(folder), folder / "model" / "site0.safetensors"
    with pytest.raises(ConfigError, match="in test/task/split/3, expected those of a party of"):
        checked_parts(other / "model" / "site0.safetensors", model)
    what, tensors = read_parts(path)[0], load_file(path)
    first = next(iter(tensors))
    tensors[first] = torch.nextafter(tensors[first], torch.tensor(9.0))
    save_file(tensors, path, {"suture": what.model_dump_json()})
    with pytest.raises(ConfigError, match="'front' is not as 'site0' ended the run with"):
        checked_parts(path, model)
    save_file(tensors, path)
    with pytest.raises(ConfigError, match="does not say which run it is of"):
        checked_parts(path, model)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ConfigError, match="not a whole safetensors file"):
        checked_parts(path, model)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_parts(tmp_path / "nothing.safetensors")


def test_a_missing_or_foreign_manifest_says_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match="name the folder of a finished run"):
        final_model.read(tmp_path)
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(ConfigError, match="not a model of this version"):
        final_model.read(tmp_path)
