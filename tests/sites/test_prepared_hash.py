"""Other records of equal counts are other data: a run does not go on from what it learned of the first."""

from sites.training import prepared_hash


def test_a_changed_record_and_a_changed_file_s_name_change_the_hash(tmp_path):
    (tmp_path / "records.parquet").write_bytes(b"first")
    first = prepared_hash(tmp_path)
    assert prepared_hash(tmp_path) == first
    (tmp_path / "records.parquet").write_bytes(b"other")
    assert prepared_hash(tmp_path) != first
    (tmp_path / "records.parquet").write_bytes(b"first")
    assert prepared_hash(tmp_path) == first
    (tmp_path / "records.parquet").rename(tmp_path / "series.npy")
    assert prepared_hash(tmp_path) != first
