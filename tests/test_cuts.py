"""`python -m coordinator cuts`: the numbers of a hand count, and what it cannot tell said plainly."""

import json

import pytest
from federation import a_run

from coordinator.algorithms.building import builders_of
from coordinator.command_line import main
from coordinator.config import Model
from coordinator.cuts import Cut, cuts
from tests.test_config import changed, study_file

COMMANDS = {"cuts": ("coordinator.cuts", "tabulate cuts")}


def tabulated(capsys, *arguments):
    status = main("coordinator", COMMANDS, ["cuts", *map(str, arguments)])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_the_mlp_s_cuts_by_hand():
    model = Model(name="mlp", hidden=(16, 8))
    found = cuts(builders_of(a_run("local", (3,), model=model), (6,)), (6,))
    first, second, head = 6 * 16, 16 * 8, 8
    assert found == [
        Cut("layer1", (16,), first + 16, 2 * first, 2 * (second + head)),
        Cut("layer2", (8,), first + 16 + second + 8, 2 * (first + second), 2 * head),
    ]
    assert [cut.activation_bytes for cut in found] == [64, 32]


def test_a_network_of_the_study_s_own_by_hand():
    model = Model(name="module", path="own_networks:Small")
    found = {
        cut.after: cut for cut in cuts(builders_of(a_run("local", (3,), model=model), (1, 8, 8)), (1, 8, 8))
    }
    first, skip, second, last = 9 * 4 * 64, (9 + 1) * 16 * 64, 9 * 16 * 16, 64 * 6 + 6
    block = found["block"]
    assert block[1:] == ((4, 8, 8), 40 + 148 + 20, 2 * (first + skip), 2 * (second + last))
    assert block.activation_bytes == 4 * 4 * 8 * 8
    assert found["second"].front_flops == 2 * (first + skip + second)
    assert all(
        cut.front_flops + cut.back_flops == 2 * (first + skip + second + last) for cut in found.values()
    )


def test_the_table_has_a_row_per_cut_with_these_numbers(capsys):
    status, table, _ = tabulated(capsys, "mlp", "--shape", "6", "--set", "hidden=[16,8]")
    assert status == 0
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in table.splitlines() if "│" in line]
    assert rows == [
        ["layer1", "16", "64", "112", "192", "272"],
        ["layer2", "8", "32", "248", "448", "16"],
    ]


def test_model_and_records_come_from_a_study_whose_sites_agreed(capsys, tmp_path):
    study = study_file(tmp_path, changed("name: ci", "name: ci"))
    asked = ("mlp", "--study", study, "--task", "breast_cancer", "--results", tmp_path)
    status, _, said = tabulated(capsys, *asked)
    assert status == 2
    assert "have not agreed on their records yet" in said
    agreed = tmp_path / "ci" / "statistics" / "breast_cancer" / "0" / "statistics.json"
    agreed.parent.mkdir(parents=True)
    agreed.write_text(json.dumps({"input_shapes": {"table": [30]}}), encoding="utf-8")
    status, table, _ = tabulated(capsys, *asked)
    assert status == 0
    assert f" {30 * 16 + 16} " in table  # the ci study's first width is 16


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("mpl", "--shape", "6"), "did you mean 'mlp'"),
        (("mlp",), "give --shape"),
        (("mlp", "--shape", "6,x"), "expected one record's"),
        (("cnn", "--shape", "6"), "'cnn' reads image, and (6,) is the shape of a table"),
        (("fusion", "--shape", "6"), "several modalities"),
        (("mlp", "--shape", "6", "--set", "hiden=[3]"), "unknown key 'hiden'"),
        (("transformer", "--shape", "4,6", "--set", "heads=7"), "do not divide"),
        (("no_such_package:Net", "--shape", "6"), "cannot be imported"),
    ],
)
def test_what_cannot_be_tabulated_says_why(capsys, arguments, words):
    status, _, said = tabulated(capsys, *arguments)
    assert status == 2
    assert words in said
