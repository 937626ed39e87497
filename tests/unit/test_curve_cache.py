"""The cache of points: what is written comes back, whatever happened to the file meanwhile."""

import pytest

from workbench.curve_cache import JsonLinesCache
from workbench.errors import StorageError


def _point(level):
    return {"group": "größe", "level": level, "loss": None}


def test_points_come_back_in_order_by_key(tmp_path):
    cache = JsonLinesCache(tmp_path / "deep" / "folder")
    assert cache.load("a") == []
    for level in (0.1, 1 / 3, 0.9):
        cache.append("a", _point(level))
    cache.append("b", _point(0.5))
    assert JsonLinesCache(tmp_path / "deep" / "folder").load("a") == [
        _point(0.1), _point(1 / 3), _point(0.9),
    ]  # fmt: skip
    assert cache.load("b") == [_point(0.5)]


@pytest.mark.parametrize("cut", range(1, 45))
def test_a_torn_last_line_costs_only_itself(tmp_path, cut):
    cache = JsonLinesCache(tmp_path)
    cache.append("a", _point(0.1))
    whole = (tmp_path / "a.jsonl").stat().st_size
    cache.append("a", _point(0.2))
    path = tmp_path / "a.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    left = [_point(0.1), _point(0.2)] if cut == 1 else [_point(0.1)]
    assert path.stat().st_size > whole
    assert cache.load("a") == left
    cache.append("a", _point(0.3))
    assert cache.load("a") == [*left, _point(0.3)]


@pytest.mark.parametrize("junk", [b"", b"\x00\x00\xff", b"[1, 2]", b"12", b"NaN nonsense"])
def test_lines_that_are_no_points_are_passed_over(tmp_path, junk):
    cache = JsonLinesCache(tmp_path)
    cache.append("a", _point(0.1))
    with (tmp_path / "a.jsonl").open("ab") as file:
        file.write(junk + b"\n")
    cache.append("a", _point(0.2))
    assert cache.load("a") == [_point(0.1), _point(0.2)]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError) as refused:
        JsonLinesCache(tmp_path / "file").append("a", _point(0.1))
    assert str(tmp_path / "file") in refused.value.message
    assert refused.value.hint


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(StorageError) as refused:
        JsonLinesCache(tmp_path).load("a")
    assert "a.jsonl" in refused.value.message
