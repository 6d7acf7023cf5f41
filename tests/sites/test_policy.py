"""A site's policy: read strictly, with the line of what is wrong, and added to without a word lost."""

import os

import pytest

from coordinator.config import Approved
from coordinator.errors import ConfigError
from sites.policy import approve, read_policy, site_of

GOOD = """\
# what may leave the North hospital
releases: [activations, metrics]  # no labels
limits:
  bytes: 1000000
  rollbacks: 0
"""
NAME = "run/demo/heart/split/0"
FINGERPRINT = "-".join(["0a1b"] * 8)


def approved(**spec):
    keys = {"study": "demo", "rate": 1e-05, "large": 1e16, "whole": 1.0, "word": "no", "none": None}
    keys |= {"prepared": {"north": "a: b, #\"c\"'ä'/\\"}, "rates": [0.01, 3e-4], "version": "1e-3"}
    return Approved(code={"sites": "f" * 64}, manifest={"north": FINGERPRINT}, spec=keys | spec)


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "policy.yaml"
    found.write_text(GOOD)
    found.chmod(0o644)
    return found


def test_a_policy_is_read(path):
    policy = read_policy(path)
    assert policy.releases == ("activations", "metrics")
    assert (policy.limits.bytes, policy.limits.rounds, policy.limits.rollbacks) == (1_000_000, None, 0)
    assert (policy.smallest_cell, policy.approved) == (5, {})
    assert site_of(policy, path) is None


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("releases:", "release:", 2, "unknown key 'release'; did you mean 'releases'?"),
        ("  bytes:", "  byte:", 4, "unknown key 'limits.byte'; did you mean 'bytes'?"),
        ("1000000", "many", 4, "'limits.bytes' is \"many\""),
        ("1000000", "0", 4, "'limits.bytes' is 0"),
        ("rollbacks: 0", "rollbacks: -1", 5, "'limits.rollbacks' is -1"),
        ("metrics]", "metric]", 2, "'releases.1' is \"metric\""),
        ("[activations, metrics]", "activations", 2, "'releases' is \"activations\""),
        ("# what", "releases: []\n# what", 3, "'releases' stands twice"),
        ("limits:", "approved: {split: {}}\nlimits:", 3, "split"),
    ],
)  # fmt: skip
def test_what_no_policy_can_say_is_refused_with_its_line(path, old, new, line, said):
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError) as refused:
        read_policy(path)
    assert f"policy.yaml:{line}: " in str(refused.value)
    assert said in str(refused.value)


def test_a_missing_policy_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match=r"policy\.yaml: cannot be read"):
        read_policy(tmp_path / "policy.yaml")


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_policy_others_may_change_is_refused(path, mode):
    path.chmod(mode)
    with pytest.raises(ConfigError, match="others may change this policy; run `chmod 600"):
        read_policy(path)


def test_the_site_s_file_is_named_and_read_with_the_same_care(path):
    path.write_text(GOOD + "site_file: north.yaml\n")
    with pytest.raises(ConfigError, match=r"north\.yaml: cannot be read"):
        site_of(read_policy(path), path)
    (path.parent / "north.yaml").write_text("name: north\nallow_recording: true\n")
    assert site_of(read_policy(path), path).allow_recording
    (path.parent / "north.yaml").write_text("name: north\nallow_recordin: true\n")
    with pytest.raises(ConfigError, match=r"north\.yaml:2: .*did you mean 'allow_recording'"):
        site_of(read_policy(path), path)


# approving


def test_an_approval_is_added_whole_and_for_the_owner_alone(path):
    approve(path, {NAME: approved()})
    assert path.read_text().startswith(GOOD)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_policy(path).approved == {NAME: approved()}
    assert list(path.parent.iterdir()) == [path]


def test_a_second_approval_stands_beside_the_first_or_replaces_it(path):
    approve(path, {NAME: approved()})
    other = "agreement/demo/heart/0"
    approve(path, {other: approved(kind="agreement")})
    approve(path, {NAME: approved(rate=0.5)})
    found = read_policy(path).approved
    assert found == {NAME: approved(rate=0.5), other: approved(kind="agreement")}
    assert path.read_text().count("approved:") == 1


def test_what_the_steward_wrote_after_the_approvals_stays(path):
    after = "\n# how small a cell may be\nsmallest_cell: 11  # as our board decided\n# the end\n"
    path.write_text(f"approved: {{}}\n{GOOD}{after}")
    for rate in (0.1, 0.2):
        approve(path, {NAME: approved(rate=rate)})
        assert path.read_text().endswith(f"{GOOD}{after}")
        assert read_policy(path).smallest_cell == 11
    path.write_text(f"{GOOD}approved:\n  {{}}\n# the end\n")
    approve(path, {NAME: approved()})
    assert path.read_text().endswith("# the end\n")


def test_a_policy_in_braces_is_refused_and_stays(path):
    path.write_text("{releases: [metrics]}\n")
    with pytest.raises(ConfigError, match=r"policy\.yaml"):
        approve(path, {NAME: approved()})
    assert path.read_text() == "{releases: [metrics]}\n"


def test_a_policy_that_cannot_be_written_stays(path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        approve(path, {NAME: approved()})
    assert path.read_text() == GOOD
    assert list(path.parent.iterdir()) == [path]
