"""The report: every number is the CSV file's, and the page is whole, ordered and self-contained."""

import base64
import csv
import hashlib
import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from coordinator.command_line import main
from coordinator.comparison.tables import COLUMNS
from tests.report_page import Page, agrees, read_page, wrong_numbers
from tests.synthetic_results import write_study

SCRIPT = Path(__file__).resolve().parent.parent / "workflow" / "scripts" / "report.py"
COMMANDS = {"evaluate": ("coordinator.comparison.evaluate", "compare")}


def draw(results: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--results", str(results), "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec, folder = write_study(tmp_path_factory.mktemp("study"))
    assert main("coordinator", COMMANDS, ["evaluate", "--spec", str(spec), "--results", str(folder)]) == 0
    drawn = draw(folder, folder / "report.html")
    assert drawn.returncode == 0, drawn.stderr
    return folder


@pytest.fixture(scope="module")
def html(results: Path) -> str:
    return (results / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return read_page(html)


def test_every_number_is_the_one_in_its_csv_cell(page: Page, results: Path) -> None:
    assert len(page.numbers) > 500
    assert wrong_numbers(page, results) == []


def test_a_wrong_number_is_noticed(html: str, results: Path) -> None:
    number = re.search(r'data-column="value" data-value="0\.\d+">0\.(\d)', html)
    assert number
    other = str((int(number[1]) + 1) % 10)
    changed = html[: number.start(1)] + other + html[number.end(1) :]
    assert len(wrong_numbers(read_page(changed), results)) == 1


def test_the_tables_hold_all_of_comparison_and_differences(page: Page, results: Path) -> None:
    shown = {(number.file, number.row, number.column) for number in page.numbers}
    with (results / "comparison.csv").open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            if row["value"] and (row["site"] == "all" or row["metric"] == "auroc"):
                assert ("comparison.csv", number, "value") in shown, row
    with (results / "differences.csv").open(newline="") as file:
        for number, _ in enumerate(csv.DictReader(file)):
            assert {
                ("differences.csv", number, name) for name in ("difference", "ci_low", "ci_high")
            } <= shown


def test_the_answer_comes_first_and_is_honest(page: Page) -> None:
    answer = page.text[page.text.index("The answer first") : page.text.index("The study")]
    assert "split_u is identical to split by construction" in answer
    assert "local is worse than centralized" in answer
    assert "fedavg is equivalent to centralized" in answer
    assert "split_u is equivalent" not in answer  # one result, said once


def test_what_a_reader_must_not_miss_is_said(page: Page) -> None:
    header = page.text[: page.text.index("The answer first")]
    assert "none: plain processes on the host" in header
    assert "Test scores of single records were released" in header
    assert "Attacks: not measured." in page.text
    assert "only one class among the labels" in page.text
    assert "only one class in training" in page.text
    assert "label outside the set" in page.text


def rows_of(results: Path, name: str) -> list[dict[str, str]]:
    with (results / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_table_1_holds_what_the_sites_tell_and_hides_what_they_hide(page: Page, results: Path) -> None:
    shown = {(number.file, number.row, number.column) for number in page.numbers}
    rows, checked = rows_of(results, "figures/table1.csv"), 0
    for place, row in enumerate(rows):
        if row["variable"] in ("age", "sex", "size", "grade", "flag", "rate"):
            for column in ("mean", "std") if row["level"] == "" else ("n", "share"):
                assert (("figures/table1.csv", place, column) in shown) == (row[column] != ""), row
                checked += row[column] != ""
    assert checked > 30
    section = page.text[page.text.index("Table 1:") : page.text.index("Rows and files set aside")]
    assert "<5 missing" in section
    assert "<5: of fewer than 5 patients, or of none" in section
    assert "6 more variables, which differ less, are in figures/table1.csv" in section
    for site in ("North hospital", "South hospital", "West hospital"):
        assert f"{site}n = " in section.replace("\u00a0", " ")


def test_the_largest_difference_of_a_variable_is_shown_beside_it(page: Page, results: Path) -> None:
    rows = rows_of(results, "figures/shift.csv")
    size = {place: row for place, row in enumerate(rows) if row["variable"] == "size"}
    means = {place: row for place, row in size.items() if row["measure"] == "mean"}
    largest = max(means, key=lambda place: abs(float(means[place]["difference"])))
    shown = {number.row for number in page.numbers if number.file == "figures/shift.csv"}
    assert shown & set(size) == {largest}


def test_what_was_set_aside_or_kept_back_is_shown(page: Page, results: Path) -> None:
    shown = {(number.file, number.row, number.column) for number in page.numbers}
    assert {("figures/quarantine.csv", 0, "count"), ("figures/quarantine.csv", 0, "share")} <= shown
    assert ("figures/outside.csv", 0, "count") in shown
    cells = [("figures/suppressed.csv", place, "cells") for place in range(6)]
    assert set(cells) <= shown
    totals = [row for row in rows_of(results, "figures/uncounted.csv") if row["variable"] == "all"]
    assert [row["uncounted"] for row in totals] == ["11", "12"]
    assert "Seed 1: 12 of 2\u202f600 values are in no histogram" in page.text


def test_a_run_that_broke_off_is_told_of(page: Page, results: Path) -> None:
    (row,) = rows_of(results, "figures/interruptions.csv")
    assert (row["strategy"], row["seed"], row["back"]) == ("fedavg", "1", "north west")
    section = page.text[page.text.index("Failures and resumes", 2000) : page.text.index("Level used")]
    assert "2023-11-14 22:13:20" in section
    assert "north, west" in section
    assert "No run was interrupted" not in section


def test_sites_that_tell_of_no_variable_are_drawn_too(tmp_path: Path) -> None:
    spec, folder = write_study(tmp_path, strategies={"centralized": {}}, seeds=[0])
    for path in (tmp_path / "prepared").rglob("prepared.json"):
        summary = json.loads(path.read_text())
        path.write_text(
            json.dumps(summary | {"profile": [], "outside": {}, "quarantined": {}, "events": None})
        )
    assert main("coordinator", COMMANDS, ["evaluate", "--spec", str(spec), "--results", str(folder)]) == 0
    assert draw(folder, folder / "report.html").returncode == 0
    page = read_page((folder / "report.html").read_text())
    assert "Table 1" not in page.text
    assert "Nothing was quarantined." in page.text
    assert wrong_numbers(page, folder) == []


def test_noise_is_called_noise(results: Path, tmp_path: Path) -> None:
    copied = tmp_path / "results"
    shutil.copytree(results, copied)
    path = copied / "differences.csv"
    path.write_text(path.read_text().replace("worse", "inconclusive"))
    assert draw(copied, copied / "report.html").returncode == 0
    assert (
        "local and centralized: differences within noise"
        in read_page((copied / "report.html").read_text()).text
    )


def test_names_from_the_config_are_escaped(html: str) -> None:
    assert "Known &lt;scores&gt; &amp; more" in html
    assert "<scores>" not in html


def test_the_page_needs_nothing_but_itself(page: Page, html: str) -> None:
    for tag, attributes in page.tags:
        assert tag not in ("iframe", "object", "embed"), tag
        for name in ("src", "href", "xlink:href", "action", "poster"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", html, re.DOTALL)
    assert [attributes for attributes, _ in scripts] == [""]
    sealed = base64.b64encode(hashlib.sha256(scripts[0][1].encode()).digest()).decode()
    assert f"script-src 'sha256-{sealed}'" in html  # the page's own, and no other
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert len(html.encode()) < 10_000_000


def test_every_figure_s_rows_can_be_downloaded_as_they_stand(page: Page, results: Path) -> None:
    links = [found for tag, found in page.tags if tag == "a" and "download" in found]
    assert len(links) == 16
    for link in links:
        name = f"figures/{link['download'].removeprefix('tumour-')}"
        text = base64.b64decode(link["href"].removeprefix("data:text/csv;base64,")).decode()
        assert text == (results / name).read_text(), name  # the study has one task


def test_headings_tables_and_pictures_can_be_heard(page: Page) -> None:
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(page.headings, page.headings[1:], strict=False))
    names = [tag for tag, _ in page.tags]
    assert names.count("caption") == names.count("table") >= 8
    assert all("scope" in attributes for tag, attributes in page.tags if tag == "th")
    pictures = [attributes for _, attributes in page.tags if attributes.get("role") == "img"]
    assert len(pictures) == 16
    assert all(len(picture["aria-label"]) > 40 for picture in pictures)


def test_drawings_do_not_share_names(page: Page) -> None:
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(names) == len(set(names))


def test_drawings_take_their_colours_from_the_page(html: str) -> None:
    drawings = "".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL))
    found = set(re.findall(r'(?:fill|stroke)="([^"]+)"', drawings))
    assert found <= {"none", "transparent", *(name for name in found if name.startswith("var(--"))}


def test_a_missing_table_is_a_sentence(results: Path, tmp_path: Path) -> None:
    copied = tmp_path / "results"
    shutil.copytree(results, copied)
    (copied / "costs.csv").unlink()
    drawn = draw(copied, tmp_path / "report.html")
    assert drawn.returncode == 2
    assert "costs.csv" in drawn.stderr
    assert "Traceback" not in drawn.stderr
    assert not (tmp_path / "report.html").exists()


def test_a_study_of_one_strategy_one_seed_and_one_class_is_drawn_too(tmp_path: Path) -> None:
    spec, folder = write_study(tmp_path, strategies={"centralized": {}}, seeds=[0])
    for path in folder.rglob("predictions/*.parquet"):
        table = pq.read_table(path)
        ones = pa.array([1] * table.num_rows, pa.int64())
        pq.write_table(table.set_column(table.column_names.index("label"), "label", ones), path)
    assert main("coordinator", COMMANDS, ["evaluate", "--spec", str(spec), "--results", str(folder)]) == 0
    drawn = draw(folder, folder / "report.html")
    assert drawn.returncode == 0, drawn.stderr
    page = read_page((folder / "report.html").read_text())
    assert "The AUROC of the reference centralized is undefined." in page.text
    assert "there is nothing to compare" in page.text
    assert wrong_numbers(page, folder) == []


@pytest.mark.parametrize(
    ("text", "truth", "right"),
    [
        ("0.987", 0.9871, True), ("0.987", 0.9881, False), ("\u22120.032", -0.0321, True),
        ("+0.002", -0.002, False),
        ("2.70\u00a0MB", 2_702_000, True), ("2.70\u00a0MB", 2_710_000, False), ("4\u202f129", 4129, True),
        ("2\u00a0min 5\u00a0s", 125.4, True), ("12\u00a0B", 12, True), ("0.003", 0.003, True),
    ],
)  # fmt: skip
def test_shown_numbers_are_read_back(text: str, truth: float, right: bool) -> None:
    assert agrees(text, truth) is right


def test_a_cell_says_that_there_is_no_model_to_score_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    cells, files = (importlib.import_module(f"reporting.{name}") for name in ("cells", "files"))
    empty = files.Row("figures/summary.csv", 0, {"value": "", "ci_low": "", "ci_high": ""})
    why = "not available: no part was trained at south, held out"
    assert cells.with_interval(empty, title=why) == f'<td class="none" title="{why}">not available</td>'
    one_class = cells.with_interval(empty, title="only one class among the labels")
    assert one_class == '<td class="none" title="only one class among the labels">\u2013</td>'


def test_settings_that_are_not_the_usual_are_told(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    files, tables = (importlib.import_module(f"reporting.{name}") for name in ("files", "study_tables"))
    folder = tmp_path / "results"
    shutil.copytree(results, folder)
    with (folder / "variants.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["strategy"] == "fedavg":
            row |= {"participation": "0.5", "leave": "north:2", "class_weights": "balanced", "patience": "3"}
    with (folder / "variants.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    told = dict(tables.strategies(files.read_results(folder), "tumour").rows)
    settings = "participation 0.5, leave north:2, class weights balanced, patience 3"
    assert f'<td class="text">{settings}</td>' in told["fedavg"]
    assert not any("participation" in cell for cell in told["local"])


def test_attacks_stand_beside_a_trivial_guess_and_say_how_far_they_are_validated(tmp_path: Path) -> None:
    spec, folder = write_study(tmp_path, bootstrap=100, audit="small")
    evaluated = ["evaluate", "--spec", str(spec), "--results", str(folder)]
    assert main("coordinator", COMMANDS, evaluated) == 2  # an audit is missing
    head = "task,strategy,seed,attack,target,measure,value,baseline,ci_low,ci_high,n,threat_model"
    for seed in (0, 1):
        rows = [
            f"tumour,split_u,{seed},decoder,table,mae,0.25{seed},0.75,0.2,0.3,12,collusion",
            f"tumour,split_u,{seed},white_box,image behind group norm,ssim,0.81,0.53,,,12,collusion",
            f"tumour,split_u,{seed},white_box,image,ssim,0.99,0.53,,,12,collusion",
            f"tumour,split_u,{seed},gradient_norm,labels,auroc,0.97,0.5,,,40,curious_coordinator",
        ]
        path = folder / "audit" / "tumour" / str(seed) / "privacy.csv"
        path.parent.mkdir(parents=True)
        path.write_text("\n".join([head, *rows, ""]), encoding="utf-8")
    assert main("coordinator", COMMANDS, evaluated) == 0
    assert draw(folder, folder / "report.html").returncode == 0
    page = read_page((folder / "report.html").read_text(encoding="utf-8"))
    assert wrong_numbers(page, folder) == []
    shown = {number.raw for number in page.numbers if number.file == "privacy.csv"}
    assert {"0.250", "0.75", "0.97"} <= shown
    assert "0.251" not in shown  # the other seed
    text = page.text[page.text.index("What attacks found") :]
    assert text.index("not validated on such targets") < text.index("white_box: image behind group norm")
    behind = text.index("white_box: image behind group norm")
    plain = text.index("white_box: image", behind + 1)
    assert "not validated on such targets" in text[behind:plain]
    assert "validated: within" not in text[behind:plain]
    assert "images validated: within" in text[plain:]
    assert "Attacks: not measured." not in page.text
    assert "No attack was made." not in page.text
    assert "Measured in part, no verdict." in page.text
    answer = page.text[page.text.index("More private?") :]
    assert "labels can be learned: AUROC 0.970, a trivial guess 0.500 (gradient norm" in answer
    assert "centralized: records and labels leave the sites as they are." in answer
    assert "holds a few attacks" in page.text


def test_subgroups_are_shown_and_small_ones_hidden(page: Page, results: Path) -> None:
    rows = rows_of(results, "figures/subgroups.csv")
    assert {(row["variable"], row["group"]) for row in rows} == {
        ("sex", "unknown"), ("sex", "female"), ("sex", "male"), ("age_band", "40-59"), ("age_band", "60-79")
    }  # fmt: skip
    shown = {(number.row, number.column) for number in page.numbers if number.file == "figures/subgroups.csv"}
    for place, row in enumerate(rows):
        told = row["group"] not in ("unknown", "female")  # three, and the next with them
        assert ((place, "value") in shown) == told == (row["value"] != ""), row
    section = page.text[page.text.index("AUROC by sex and age band") : page.text.index("Every seed")]
    assert section.index("sex unknown") < section.index("<5")


def test_a_network_on_paper_is_told_with_what_it_is(tmp_path: Path) -> None:
    network = {"every": {"latency_ms": 500.0}, "sites": {"west": {"up_mbps": 2.5}}}
    spec, folder = write_study(tmp_path, bootstrap=100, network=network)
    assert main("coordinator", COMMANDS, ["evaluate", "--spec", str(spec), "--results", str(folder)]) == 0
    rows = {row["strategy"]: row for row in rows_of(folder, "figures/network.csv")}
    assert set(rows) == {"local", "fedavg", "split", "split_u"}  # a pool has no connection that was described
    seconds = {name: float(row["predicted"]) for name, row in rows.items()}
    assert 0.5 < seconds["local"] < seconds["fedavg"] < seconds["split"] < seconds["split_u"]
    assert {row["here"] for row in rows.values()} == {"9.0"}
    assert draw(folder, folder / "report.html").returncode == 0
    page = read_page((folder / "report.html").read_text(encoding="utf-8"))
    assert wrong_numbers(page, folder) == []
    shown = {number.raw for number in page.numbers if number.file == "figures/network.csv"}
    assert shown == {"9.0", *(row["predicted"] for row in rows.values())}
    assert "west: 2.5 Mbit/s up, 100 down, 10 ms one way, speed 1" in page.text


def test_split_and_federated_are_compared_in_words_and_images_are_shown(tmp_path: Path) -> None:
    spec, folder = write_study(tmp_path, bootstrap=100, audit="small", gallery=True)
    head = "task,strategy,seed,attack,target,measure,value,baseline,ci_low,ci_high,n,threat_model"
    for seed in (0, 1):
        rows = [
            f"tumour,split_u,{seed},decoder,table,features_recovered,0.81,0.26,0.78,0.83,12,collusion",
            f"tumour,fedavg,{seed},tableak,table from an update,features_recovered,0.31,0.29,0.28,0.33,12,"
            "curious_coordinator",
        ]
        path = folder / "audit" / "tumour" / str(seed) / "privacy.csv"
        (path.parent / "figures").mkdir(parents=True)
        path.write_text("\n".join([head, *rows, ""]), encoding="utf-8")
        shown = COLUMNS["figures/gallery.csv"] + f"\ntumour,split_u,{seed},decoder,best,21.5,QUJD,REVG,R0hJ\n"
        (path.parent / "figures" / "gallery.csv").write_text(shown, encoding="utf-8")
    assert main("coordinator", COMMANDS, ["evaluate", "--spec", str(spec), "--results", str(folder)]) == 0
    assert draw(folder, folder / "report.html").returncode == 0
    html = (folder / "report.html").read_text(encoding="utf-8")
    page = read_page(html)
    assert wrong_numbers(page, folder) == []
    said = " ".join(page.text.split())
    assert "split_u is not more private than fedavg by what was found" in said
    found = (
        "tables (collusion: 81 %, 95 % interval 78 % to 83 %, trivial guess 26 %; against 31 %, 95 % interval"
    )
    assert f"{found} 28 % to 33 %, trivial guess 29 %)" in said
    assert "leaks more than was found of the other" in said
    assert "decoder (not validated)" in said
    assert [f"base64,{image}" in html for image in ("QUJD", "REVG", "R0hJ")] == [True] * 3
    assert "split is not more private" not in said  # its attacks were not tried
