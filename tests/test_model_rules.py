"""Model settings that do not go together, cuts that are none, and networks that a site does not allow."""

from pathlib import Path

import numpy as np
import pytest
from federation import a_run, federate
from safetensors.torch import save

from coordinator.algorithms.cohort import Cohort
from coordinator.algorithms.handing_on import pack
from coordinator.algorithms.split import parts_of
from coordinator.config import Model
from coordinator.epochs import batches_in, epoch
from coordinator.errors import ConfigError
from coordinator.limits import message_limit
from coordinator.model_rules import contradiction
from coordinator.models.catalog import code_of
from coordinator.plan import plan
from coordinator.schedule import joint_round, schedule, steps_in
from coordinator.sources import used_by
from coordinator.study import read_study
from sites.training import check_allowed
from tests.test_config import changed, check, line_of, study_file

MLP, IMAGES = "name: mlp, hidden: [16, 8]", "name: fusion, hidden: [8, 8], channels: [4, 8]"
OWN = "name: module, path: 'own_networks:Table'"


def said(tmp_path: Path, capsys: pytest.CaptureFixture[str], *change: str) -> str:
    status, text = check(capsys, study_file(tmp_path, changed(*change)))
    assert status == 2
    return text


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (MLP, f"{MLP}, norm: batch", "'mlp' has no batch norm"),
        (MLP, f"{MLP}, options: {{a: 1}}", "options are for a network of the study's own"),
        (MLP, "name: module", "has both: `name: module` and `path"),
        (MLP, f"{MLP}, path: 'own_networks:Table'", "has both: `name: module` and `path"),
        (MLP, OWN, "site 'north' does not allow 'own_networks:Table' to run on its records"),
        (MLP, "name: module, path: own_networks", "should match pattern"),
        (MLP, "name: transformer, hidden: [16]", "'transformer' reads series"),
    ],
)
def test_what_a_model_cannot_have_is_refused_at_its_line(tmp_path, capsys, old, new, words):
    text = said(tmp_path, capsys, old, new)
    assert words in text
    assert f"study.yaml:{line_of(changed(old, new), new[:20])}" in text


def test_heads_that_do_not_divide_are_refused():

    assert "4 heads do not divide tokens of width 6" in str(
        contradiction(Model(name="transformer", hidden=(6,)))
    )
    assert contradiction(Model(name="transformer", hidden=(8,))) is None


def test_a_site_imports_no_network_that_it_does_not_allow():
    run = a_run("local", (3, 3), model=Model(name="module", path="own_networks:Table"))
    with pytest.raises(ConfigError, match="'site0' does not allow 'own_networks:Table'"):
        check_allowed(run, ["site0"])
    only = run.model_copy(update={"allow_models": {"site0": ("own_networks:Table",), "site1": ()}})
    check_allowed(only, ["site0"])
    with pytest.raises(ConfigError, match="'site1'"):  # the pool has records of both
        check_allowed(only, ["site0", "site1"])
    check_allowed(a_run("local", (3,)), ["site0"])


def test_an_edit_of_the_study_s_own_network_reruns_its_training():
    used = used_by(code_of(Model(name="module", path="tests.own_networks:Table")))
    assert "tests/own_networks.py" in used
    assert {"coordinator/models/module.py", "coordinator/models/slicing.py"} <= set(used)
    assert "coordinator/models/monai_nets.py" not in used


def test_what_a_site_allows_changes_its_runs_and_no_prepared_data(tmp_path):
    text = changed(MLP, OWN).replace("  split_u: {}\n", "")
    plans = []
    for allowed in (["own_networks:Table"], ["own_networks:Table", "own_networks:Small"]):
        lines = (f"  {site}: {{name: {site}, allow_models: {allowed}}}\n" for site in ("north", "south"))
        sites = "sites:\n" + "".join(lines)
        path = tmp_path / "study.yaml"
        path.write_text(text.replace("tasks:\n", f"{sites}tasks:\n", 1), encoding="utf-8")
        study, found, _ = read_study([path])
        plans.append(plan(study, found, write=False))
    one, other = (each["tasks"]["breast_cancer"]["prepare"]["north"]["folder"] for each in plans)
    assert one == other
    one, other = (each["runs"]["breast_cancer/split/0"]["spec"] for each in plans)
    assert one != other


BATCH = Model(name="resnet18", norm="batch")


@pytest.mark.parametrize(
    ("records", "sizes"), [(33, [16, 17]), (34, [16, 16, 2]), (16, [16]), (17, [17]), (1, [1]), (0, [])]
)
def test_with_batch_norm_a_last_batch_of_one_record_joins_the_one_before(records, sizes):
    run = a_run("local", (records,), model=BATCH)
    found = epoch(run, 0, 0, 0, records)
    assert [len(batch) for batch in found] == sizes
    assert sorted(np.concatenate([[], *found])) == list(range(records))
    assert batches_in(run, records) == len(found)


def test_without_batch_norm_it_stays_alone():
    assert [len(batch) for batch in epoch(a_run("local", (33,)), 0, 0, 0, 33)] == [16, 16, 1]


@pytest.mark.parametrize("preset", ["split", "multi_head", "split_parallel", "splitfed_v1"])
def test_steps_are_counted_as_they_are_walked_with_batch_norm(preset):
    sizes = (33, 17, 5)
    run = a_run(preset, sizes, model=BATCH, cut=("layer1",))
    if preset == "split_parallel":
        walked = sum(len(list(joint_round(run, 0, round_, sizes))) for round_ in range(2))
    else:
        walked = sum(type(item).__name__ == "Batch" for item in schedule(run, sizes))
    assert steps_in(run, sizes) == walked


@pytest.mark.parametrize(
    ("model", "shape", "cut"),
    [
        (Model(name="resnet18", width=8, norm="batch"), (1, 12, 12), ("layer4",)),
        (Model(name="densenet121", width=8, norm="batch"), (1, 29, 29), ("features",)),
        (Model(name="transformer", hidden=(8,), heads=2), (4, 6), ("block2",)),
    ],
)
def test_the_largest_messages_of_a_run_are_within_its_limit(model, shape, cut):
    """A front that is nearly the whole network, sealed with Adam's state; activations of a scoring batch."""
    sizes = (9, 2)
    run = a_run("split", sizes, model=model, cut=cut, training={"rounds": 1})
    _, outcomes, _ = federate(run, sizes, shape)
    site, limit = outcomes["site0"][0], message_limit(run, Cohort(shape, sizes, sizes, sizes))
    assert set(site.parts["front"].stages) == {n.replace(".", "/") for n in parts_of(run)[0]["front"]}
    assert 1000 < len(save(pack(site, optimizer=True))) < limit
    assert 4 * 256 * (np.prod(site.shapes["front"]) + 1) < limit


@pytest.mark.parametrize(
    ("cut", "words"),
    [
        ("layer1.0.conv1", "inside 'layer1' a skip connection would be cut"),
        ("layer5", "did you mean 'layer4'? known names: act, avgpool"),
        ("fc", "leaves a part empty"),
    ],
)
def test_cuts_of_monai_s_networks_are_checked_without_torch(tmp_path, capsys, cut, words):
    text = changed(IMAGES, "name: resnet18").replace("cut: fronts", f"cut: {cut}")
    assert cut in text
    status, message = check(capsys, study_file(tmp_path, text))
    assert status == 2
    assert words in message


def test_densenet_needs_more_than_28_pixels(tmp_path, capsys):
    text = changed(IMAGES, "name: densenet121").replace("cut: fronts", "cut: features.denseblock2")
    text = text.replace("pixels: 16", "pixels: 28")
    status, message = check(capsys, study_file(tmp_path, text))
    assert status == 2
    assert "nothing of" in message
    assert "at least 29" in message
