"""One table of all sites' rows is divided so that every row is one site's, and no row is two sites'."""

import gzip
import io

import pandas as pd
import pytest

from coordinator.config import Columns, Site
from coordinator.errors import ConfigError, DataError
from sites.divide import divide_table

COLUMNS = Columns(patient="id", label="y", site="ward", numeric=("x",))
A, B = Site(name="a"), Site(name="b", select={"table": ("B one", "2")})
REST = Site(name="rest", select={"table": ("*",)})
ROWS = [("1", "0", "A", "5"), ("2", "1", " a", "6"), ("3", "0", "b ONE", "7"), ("4", "1", "2.0", "8"),
        ("5", "0", "c", "9"), ("6", "0", "", '1"0')]  # fmt: skip


@pytest.fixture(params=["csv", "csv.gz", "parquet"])
def path(request, tmp_path):
    frame = pd.DataFrame(ROWS, columns=["id", "y", "ward", "x"])
    path = tmp_path / f"all.{request.param}"
    frame.to_parquet(path) if request.param == "parquet" else frame.to_csv(path, index=False)
    return path


def ids(path):
    if path.suffix == ".parquet":
        return pd.read_parquet(path)["id"].tolist()
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    return pd.read_csv(io.StringIO(text), dtype=str)["id"].tolist()


def test_every_row_goes_to_its_site_and_the_rest_to_who_takes_it(path, tmp_path):
    out = tmp_path / "out"
    found = divide_table(path, COLUMNS, (A, B, REST), "table", out)
    assert found.rows == {"a": 2, "b": 2, "rest": 2}
    assert found.left_out == 0
    assert {site.name: ids(out / site.name / path.name) for site in (A, B, REST)} == {
        "a": ["1", "2"], "b": ["3", "4"], "rest": ["5", "6"],
    }  # fmt: skip


def test_rows_of_nobody_are_counted_and_said(path, tmp_path, capsys):
    found = divide_table(path, COLUMNS, (A, B), "table", tmp_path / "out")
    assert found.left_out == 2
    assert "2 of 6 rows are of no site of the task" in capsys.readouterr().out


def test_patients_at_several_sites_are_counted(path, tmp_path, capsys):
    twice = COLUMNS.model_copy(update={"patient": "y"})  # 0 and 1, at all sites
    assert divide_table(path, twice, (A, B), "table", tmp_path / "one").shared_patients == 2
    assert "2 patients have rows at several sites" in capsys.readouterr().out
    assert divide_table(path, COLUMNS, (A, B), "table", tmp_path / "two").shared_patients == 0


def test_equal_tables_are_divided_into_equal_bytes(path, tmp_path):
    for name in ("one", "two"):
        divide_table(path, COLUMNS, (A, B), "table", tmp_path / name)
    one, two = ((tmp_path / name / "a" / path.name).read_bytes() for name in ("one", "two"))
    assert one == two


def test_a_site_without_a_row_or_a_column_is_refused(path, tmp_path):
    with pytest.raises(DataError, match="no row of site 'north': 'ward' is never 'north'"):
        divide_table(path, COLUMNS, (A, Site(name="north")), "table", tmp_path / "one")
    with pytest.raises(DataError, match="no column 'hospital' for the site; found id, y, ward, x"):
        divide_table(path, COLUMNS.model_copy(update={"site": "hospital"}), (A, B), "table", tmp_path / "two")
    with pytest.raises(ConfigError, match=r"data\.columns\.site"):
        divide_table(path, COLUMNS.model_copy(update={"site": None}), (A, B), "table", tmp_path / "three")
    with pytest.raises(ConfigError, match="both take"):
        divide_table(path, COLUMNS, (A, Site(name="z", select={"table": ("A",)})), "table", tmp_path / "four")


def test_a_short_row_stays_with_the_site_it_names(tmp_path):
    path = tmp_path / "all.csv"
    path.write_text("ward,id,y,x\na,1,0,5\nb one,2,1,6\na,3\n\n2,4,0,8,9\n")
    found = divide_table(path, COLUMNS, (A, B), "table", tmp_path / "out")
    assert found.rows == {"a": 2, "b": 2}
    assert (tmp_path / "out" / "a" / "all.csv").read_text() == "ward,id,y,x\na,1,0,5\na,3\n"
