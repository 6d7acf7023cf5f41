"""A steward approves a run as a whole; any other is refused, with the difference key by key."""

import re

import pytest
from federation import a_run

from coordinator import specs
from coordinator.command_line import main
from coordinator.config import Clip, Model
from coordinator.errors import ConfigError
from coordinator.protocol.keys import fingerprint, make, read_manifest
from coordinator.specs import Agreement
from sites import approval
from sites.__main__ import COMMANDS
from sites.approval import check_join, differences, name_of
from sites.policy import read_policy

SIZES = (40, 20)
NAMES = ["coordinator", "site0", "site1", "west"]
OWN = "site_file: site0.yaml\n"
RUN = a_run("split", SIZES)
AGREEMENT = Agreement(
    study="test", task="task", seed=3, sites=("site0", "site1"), prepared={"site0": "a"}, validation=0.1,
    missing="impute", min_cell=5, threads=1,
)  # fmt: skip
POLICY = "releases: [activations, labels, sealed parts, metrics, aggregates, weights]\n"


def training(run, **changes):
    return run.model_copy(update={"training": run.training.model_copy(update=changes)})


@pytest.fixture
def hospital(tmp_path):
    """A site's folder: a policy, its own file, and the manifest of three sites."""
    tmp_path.chmod(0o700)
    make(tmp_path, NAMES)
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "site0.yaml").write_text("name: site0\n")
    return tmp_path


def approve(hospital, *asked, words=()):
    paths = [str(specs.write(spec, hospital / "specs")) for spec in asked]
    options = ["--manifest", str(hospital / "manifest.json"), "--policy", str(hospital / "policy.yaml")]
    return main("sites", COMMANDS, ["approve", "--spec", *paths, *options, *words])


def allow(hospital, text):
    path = hospital / "policy.yaml"
    path.write_text(path.read_text().replace(POLICY, POLICY + text))


def join(hospital, spec, site="site0", manifest=None):
    path = hospital / "policy.yaml"
    check_join(read_policy(path), path, site, spec, manifest or read_manifest(hospital / "manifest.json"))


def refused(hospital, spec, **more):
    with pytest.raises(ConfigError) as found:
        join(hospital, spec, **more)
    assert "nothing was sent" in str(found.value)
    return [line.strip() for line in str(found.value).splitlines()[1:-1]]


# what a steward sees


def test_a_steward_sees_what_is_asked_and_approves_it(hospital, capsys):
    assert approve(hospital, RUN, AGREEMENT) == 0
    said = capsys.readouterr().out
    manifest = read_manifest(hospital / "manifest.json")
    shown = {tuple(re.split("  +", line.strip(), maxsplit=1)) for line in said.splitlines()}
    assert shown >= {
        ("study", "test"), ("task", "task"), ("strategy", "split"), ("cut after", "layer1"),
        ("model", "mlp: hidden [16, 8], dropout 0.3"), ("labels", "shared with the coordinator"),
        ("leaves this site", "activations, labels, metrics, sealed parts"), ("learning rates", "0.05"),
        ("rounds", "2, over all rates 2; limit: none"), ("recorded", "nothing"),
        ("test scores", "released, of each record"), ("smallest cell", "5 records"),
        ("code of coordinator", approval.code_hash("coordinator")),
        *((f"fingerprint {name}", fingerprint(manifest[name])) for name in NAMES[:3]),
    }  # fmt: skip
    assert "fingerprint west" not in said  # not of this run
    assert (hospital / "policy.yaml").stat().st_mode & 0o777 == 0o600
    join(hospital, RUN)
    join(hospital, AGREEMENT)


def test_labels_that_stay_are_shown_as_such(hospital, capsys):
    private = a_run("split_u", SIZES, cut=("layer1", "layer2"))
    assert approve(hospital, private, a_run("local", SIZES)) == 0
    assert capsys.readouterr().out.count("stay at the site") == 2


def test_showing_approves_nothing(hospital, capsys):
    assert approve(hospital, RUN, words=["--show"]) == 0
    assert "nothing was approved" in capsys.readouterr().out
    assert (hospital / "policy.yaml").read_text() == POLICY


def test_an_approval_that_changes_one_says_what(hospital, capsys):
    assert approve(hospital, RUN) == 0
    assert "differs" not in capsys.readouterr().out
    assert approve(hospital, training(RUN, rounds=3)) == 0
    assert "differs from what was approved before:\n    training.rounds: approved 2, found 3" in (
        capsys.readouterr().out
    )


def test_what_the_policy_does_not_permit_cannot_be_approved(hospital, capsys):
    assert approve(hospital, RUN, a_run("splitfed_v1", SIZES)) == 0
    before = (hospital / "policy.yaml").read_bytes()
    joint = a_run("split_parallel", SIZES)
    assert approve(hospital, AGREEMENT, joint) == 2
    assert "it releases gradients, which the policy does not list" in capsys.readouterr().err
    assert (hospital / "policy.yaml").read_bytes() == before


def test_a_manifest_without_a_party_is_not_approved(hospital, capsys):
    assert approve(hospital, a_run("split", (9, 9, 9, 9))) == 2
    assert "no keys of site2, site3" in capsys.readouterr().err


def test_what_is_no_spec_is_refused(hospital, capsys):
    path = hospital / "policy.yaml"
    words = ["--spec", str(path), "--manifest", str(hospital / "manifest.json"), "--policy", str(path)]
    assert main("sites", COMMANDS, ["approve", *words]) == 2
    assert "not a run's, agreement's or estimation's spec" in capsys.readouterr().err


# what joins


def test_another_spec_is_refused_key_by_key(hospital):
    approve(hospital, RUN)
    other = training(RUN, learning_rates=(0.1,), clip=Clip(norm=1.0))
    other = other.model_copy(update={"cut": ("layer2",), "record_round": 1})
    assert refused(hospital, other) == [
        'cut: approved ["layer1"], found ["layer2"]',
        "training.learning_rates: approved [0.05], found [0.1]",
        'training.clip: approved null, found {"norm": 1.0, "scope": "global"}',
        "record_round: approved null, found 1",
        "releases: it releases gradient norms, which the policy does not list",
        "record_round: it is recorded, and the site's file does not say allow_recording",
    ]


def test_what_was_never_approved_is_refused(hospital):
    assert refused(hospital, RUN) == ["run/test/task/split/3 was never approved; approved: nothing"]
    approve(hospital, RUN)
    (line,) = refused(hospital, RUN.model_copy(update={"seed": 4}))
    assert line == "run/test/task/split/4 was never approved; approved: run/test/task/split/3"
    assert refused(hospital, AGREEMENT)


def test_other_code_is_refused(hospital, monkeypatch):
    approve(hospital, RUN)
    real = approval.code_hash
    monkeypatch.setattr(approval, "code_hash", lambda name: "0" * 64 if name == "sites" else real(name))
    (line,) = refused(hospital, RUN)
    assert line == f'code.sites: approved "{real("sites")}", found "{"0" * 64}"'


@pytest.mark.parametrize("party", ["coordinator", "site1"])
def test_swapped_keys_of_any_party_are_refused(hospital, party):
    approve(hospital, RUN)
    manifest = read_manifest(hospital / "manifest.json")
    before = fingerprint(manifest[party])
    manifest[party] = manifest["west"]
    (line,) = refused(hospital, RUN, manifest=manifest)
    assert line == f'manifest.{party}: approved "{before}", found "{fingerprint(manifest["west"])}"'
    del manifest[party]
    (line,) = refused(hospital, RUN, manifest=manifest)
    assert line == f'manifest.{party}: approved "{before}", found nothing'


def test_a_site_admitted_to_other_studies_changes_nothing(hospital):
    approve(hospital, RUN)
    manifest = read_manifest(hospital / "manifest.json")
    del manifest["west"]
    join(hospital, RUN, manifest=manifest)


def test_a_policy_made_stricter_after_the_approval_holds(hospital):
    approve(hospital, RUN, AGREEMENT)
    allow(hospital, "limits: {rounds: 1}\nsmallest_cell: 10\n")
    assert refused(hospital, RUN) == ["limits.rounds: the policy says 1, it has 2 over all learning rates"]
    assert refused(hospital, AGREEMENT) == ["smallest_cell: the policy says 10, found 5"]


def test_a_stranger_to_the_run_does_not_join(hospital):
    approve(hospital, RUN)
    (line,) = refused(hospital, RUN, site="west")
    assert line == "parties: 'west' takes no part in it, only site0, site1"


@pytest.mark.parametrize(
    ("spec", "key", "allowing"),
    [
        (RUN.model_copy(update={"record_round": 0}), "record_round", "allow_recording: true"),
        (
            RUN.model_copy(update={"model": Model(name="module", path="their.nets:Net")}),
            "model.path",
            "allow_models: ['their.nets:Net']",
        ),
    ],
)
def test_recordings_and_own_networks_are_the_site_file_s_to_allow(hospital, capsys, spec, key, allowing):
    assert approve(hospital, spec) == 2
    assert f"{key}: " in capsys.readouterr().err
    allow(hospital, OWN)
    assert approve(hospital, spec) == 2
    (hospital / "site0.yaml").write_text(f"name: site0\n{allowing}\n")
    assert approve(hospital, spec) == 0
    join(hospital, spec)
    (hospital / "site0.yaml").write_text("name: site0\n")
    (line,) = refused(hospital, spec)
    assert line.startswith(f"{key}: ")


def test_another_site_s_file_is_refused(hospital):
    allow(hospital, OWN)
    approve(hospital, RUN)
    with pytest.raises(ConfigError, match="that of 'site0', and this site joins as 'site1'"):
        join(hospital, RUN, site="site1")


# comparing


def test_names_of_runs_and_agreements_never_meet():
    assert name_of(RUN) == "run/test/task/split/3"
    assert name_of(AGREEMENT) == "agreement/test/task/3"


def test_true_is_not_one_and_a_long_value_shows_where_it_differs():
    assert list(differences({"a": True}, {"a": 1})) == ["a: approved true, found 1"]
    assert list(differences({"a": 1.0, "b": {"c": [1, 2]}}, {"b": {"c": [1, 2]}, "a": 1.0})) == []
    long = list(range(1000))
    (line,) = differences({"a": long}, {"a": [*long[:500], -7, *long[501:]]})
    assert " 500," in line
    assert " -7," in line
    assert len(line) < 500
