"""Names with another meaning and sizes that training could not hold are refused before it, at their line."""

from pathlib import Path

import pytest

from tests.test_config import changed, check, line_of, study_file


@pytest.mark.parametrize("name", ["all", "stratified", "coordinator", "pooled"])
def test_a_site_may_not_take_a_name_that_means_something_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = study_file(tmp_path, changed("[north, south]", f"[north, {name}]"), own_sites=True)
    (path.parent / "sites" / f"{name}.yaml").write_text(f"name: {name}\n", encoding="utf-8")
    status, said = check(capsys, path)
    assert status == 2
    assert (
        f"study.yaml:{line_of(path.read_text(), f'north, {name}')}: tasks.breast_cancer.sites: '{name}'"
        in said
    )


IMAGES, MLP = "hidden: [8, 8], channels: [4, 8]", "hidden: [16, 8]"
TRAINING = "{rounds: 3, batch_size: 32, learning_rates: [0.01]}"
# name -> what a study changes, and what the message names beside the line of the change
TOO_MUCH = {
    "nothing left of an image": (IMAGES, "hidden: [8, 8], channels: [4, 4, 4, 4, 4]", "at most 4 channels"),
    "too few records": ("records: 120", "records: 19", "make at least 20"),
    "an agreement's name": ("  local: {}", "  agree: {preset: local}", "strategies.agree"),
    "widths": (MLP, "hidden: [65537, 8]", "hidden.0"),
    "channels": (IMAGES, "hidden: [8, 8], channels: [65537]", "channels.0"),
    "rounds": (TRAINING, "{rounds: 1000001}", "rounds"),
    "local epochs": (TRAINING, "{local_epochs: 1000001}", "local_epochs"),
    "batch size": (TRAINING, "{batch_size: 1000001}", "batch_size"),
    "a rate twice": (TRAINING, "{learning_rates: [0.1, 1e-1]}", "a rate is named twice"),
    "a strategy's rate twice": (
        "  fedavg: {}", "  fedavg: {training: {learning_rates: [1.0, 1.]}}", "a rate is named twice",
    ),
    "resamples": ("bootstrap: 200", "bootstrap: 100001", "bootstrap"),
    "threads": ("bootstrap: 200", "threads_per_process: 257", "threads_per_process"),
    "a study's name": ("name: ci", "name: ..", "'name'"),
}  # fmt: skip


@pytest.mark.parametrize("name", TOO_MUCH)
def test_what_training_could_not_do_is_refused_at_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    old, new, message = TOO_MUCH[name]
    text = changed(old, new)
    status, said = check(capsys, study_file(tmp_path, text))
    assert status == 2
    assert message in said
    assert f"study.yaml:{line_of(text, new)}: " in said


def test_the_most_that_can_be_done_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = changed(IMAGES, "hidden: [8, 8], channels: [4, 4, 4, 4]").replace("records: 120", "records: 20")
    text = text.replace(MLP, "hidden: [65536, 8]").replace("bootstrap: 200", "bootstrap: 100000")
    assert check(capsys, study_file(tmp_path, text)) == (0, "")


def test_a_site_that_does_not_allow_it_is_neither_recorded_nor_audited(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = study_file(tmp_path, changed("bootstrap: 200", "record_wire: true\naudit: small"), own_sites=True)
    assert check(capsys, path) == (0, "")
    south = path.parent / "sites" / "south.yaml"
    south.write_text(south.read_text().replace("allow_recording: true", "allow_recording: false"))
    for setting, key in ((), "record_wire"), (("--set=record_wire=false",), "audit"):
        status, said = check(capsys, path, *setting)
        assert status == 2
        assert f"{key}: site 'south' does not allow it" in said
    assert check(capsys, path, "--set=record_wire=false", "--set=audit=none") == (0, "")


def test_images_are_shown_only_of_sites_that_allow_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = study_file(tmp_path, changed("bootstrap: 200", "audit: small\ngallery: true"), own_sites=True)
    assert check(capsys, path) == (0, "")
    status, said = check(capsys, path, "--set=audit=none")
    assert (status, "gallery: nothing is attacked" in said) == (2, True)
    south = path.parent / "sites" / "south.yaml"
    south.write_text(south.read_text().replace("allow_gallery: true", "allow_gallery: false"))
    status, said = check(capsys, path)
    assert status == 2
    assert "gallery: site 'south' does not allow its images to be shown" in said


@pytest.mark.parametrize(
    "more", ["allow_recording: true", "allow_gallery: true", "allow_models: [some.package:Net]"]
)
def test_a_study_s_entry_allows_no_more_than_the_site_s_own_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: str
) -> None:
    text = changed("bootstrap: 200", f"sites:\n  south:\n    name: south\n    {more}")
    path = study_file(tmp_path, text, own_sites=True)
    south = path.parent / "sites" / "south.yaml"
    south.write_text("name: south\n")
    status, said = check(capsys, path)
    assert status == 2
    assert f"study.yaml:{line_of(text, more)}: the study's entry of 'south' allows what" in said
    south.write_text(f"name: south\n{more}\n")
    assert check(capsys, path) == (0, "")
    south.unlink()  # a site of this study alone
    assert check(capsys, path) == (0, "")


def test_a_numbered_site_needs_no_file_and_is_heard_where_it_has_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = changed("bootstrap: 200", "audit: small").replace("[north, south]", "2")
    path = study_file(tmp_path, text, own_sites=True)
    assert check(capsys, path, "--set=audit=none") == (0, "")
    status, said = check(capsys, path)
    assert status == 2
    assert "allow_recording: true in config/sites/site01.yaml" in said
    for name in ("site01", "site02"):
        (path.parent / "sites" / f"{name}.yaml").write_text(f"name: {name}\nallow_recording: true\n")
    assert check(capsys, path) == (0, "")


def test_a_round_to_record_needs_a_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, said = check(capsys, study_file(tmp_path, changed("bootstrap: 200", "record_round: 2")))
    assert status == 2
    assert "set record_wire: true" in said
