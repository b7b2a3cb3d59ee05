"""Tables from files, and the fit command on a messy one: every repair is asked for and said."""

from __future__ import annotations

import importlib
import json
import math
import sys

import numpy as np
import pytest
from scipy import sparse

from sparsopt import __main__ as command
from sparsopt import fitting, tables
from sparsopt.errors import DataError, InvalidInput, MissingCapability, SparsoptError
from sparsopt.fitting import fit, models, pictures
from sparsopt.tables import read
from sparsopt.tables.reading import distinct

MESSY = """id,age,weight,weight again,unit,colour,blank,price,sick
a,30,70,70,1,red,,10,yes
b,,80,80,1,blue,,12,no
c,50,60,60,1,red,,NA,no
d,40,75,75,1,green,,11,yes
e,60,90,90,1,,,15,no
"""


@pytest.fixture
def messy(tmp_path):
    path = tmp_path / "messy.csv"
    path.write_text(MESSY)
    return path


def test_every_repair_is_asked_for_and_said(messy):
    with pytest.raises(InvalidInput, match="line 2, column 'id': 'a' is not a finite number; --text encode or"):
        read(messy, "price")
    with pytest.raises(InvalidInput, match="line 3, column 'age': nothing there; --missing drop or --missing mean"):
        read(messy, "price", text="drop")
    with pytest.raises(InvalidInput, match=r"no column 'prices'; did you mean 'price'\? the columns are id, age"):
        read(messy, "prices")
    with pytest.raises(InvalidInput, match="--target NAME says which"):
        read(messy, None)
    table = read(messy, "price", missing="mean", text="drop")
    assert table.names == ["age", "weight"]
    np.testing.assert_array_equal(table.X, [[30, 70], [130 / 3, 80], [40, 75], [60, 90]])
    np.testing.assert_array_equal(table.y, [10, 12, 11, 15])
    assert table.notes == [
        "column 'id' has text and is left out",
        "column 'colour' has text and is left out",
        "column 'sick' has text and is left out",
        "empty columns are left out: blank",
        "1 of 5 rows have missing cells and are left out",
        "1 missing cells are set to the mean of their column",
        "constant columns are left out: unit",
        "columns that repeat another one are left out: weight again (as weight)",
    ]
    dropped = read(messy, "price", missing="drop", text="drop")
    np.testing.assert_array_equal(dropped.X, [[30, 70], [40, 75], [60, 90]])


def test_texts_become_columns_of_0_and_1_and_two_labels_a_target(messy):
    table = read(messy, "sick", missing="mean", text="encode")
    np.testing.assert_array_equal(table.y, [1, 0, 0, 1, 0])
    assert "target 'sick': no is 0, yes is 1" in table.notes
    column = table.X[:, table.names.index("colour=red")]
    np.testing.assert_array_equal(column, [1, 0, 1, 0, 0.5])  # the mean, where nothing is known
    with pytest.raises(InvalidInput, match="a target is numbers, or one of two labels"):
        read(messy, "id")


def test_a_text_column_with_many_values_is_no_category(tmp_path):
    path = tmp_path / "names.csv"
    path.write_text("name,x,y\n" + "".join(f"n{i},{i * i},{i}\n" for i in range(150)))
    table = read(path, "y", text="encode")
    assert table.names == ["x"]
    assert table.notes == ["column 'name' has 150 different texts, no category, and is left out"]


def test_dates_become_days(tmp_path):
    path = tmp_path / "visits.csv"
    path.write_text("visit,y\n2024-02-28,1\nNA,2\n2024-03-01 10:30,3\n2024-02-29T00:00,5\n")
    table = read(path, "y", missing="drop", text="encode")
    np.testing.assert_allclose(table.X[:, 0], [0, 2 + 10.5 / 24, 1])
    assert "column 'visit' has dates: days since 2024-02-28" in table.notes
    path.write_text("visit,y\n2024-02-30,1\n2024-03-01,2\n")
    with pytest.raises(InvalidInput, match=r"column 'visit': a date that does not exist"):
        read(path, "y", text="encode")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
@pytest.mark.parametrize(("mark", "comma"), [(",", "."), (";", "."), (";", ","), ("\t", ","), ("\t", ".")])
def test_files_of_all_kinds_of_programs_hold_the_same_table(tmp_path, encoding, mark, comma):
    rows = [["Größe", "Ort", "y"], ["1.5", "Köln", "-2"], ["2", "Genf", "1e-3"], ["", "Köln", ".5"]]
    text = "\r\n".join(mark.join(cell.replace(".", comma) for cell in row) for row in rows)
    (tmp_path / "a.csv").write_bytes((text + "\r\n").encode(encoding))
    table = read(tmp_path / "a.csv", "y", missing="mean", text="encode")
    assert table.names == ["Größe", "Ort=Köln"]
    np.testing.assert_array_equal(table.X, [[1.5, 1], [2, 0], [1.75, 1]])
    np.testing.assert_array_equal(table.y, [-2, 1e-3, 0.5])
    assert any("Windows" in note for note in table.notes) == (encoding == "latin-1")
    assert ("numbers have decimal commas" in table.notes) == (comma == ",")


@pytest.mark.parametrize(
    ("cells", "numbers", "note"),
    [
        (["1,234", "56", "7,890,123.5"], [1234, 56, 7890123.5], "commas group thousands"),
        (["1.234,5", "0,5", "12"], [1234.5, 0.5, 12], "points group thousands, commas are decimal"),
        (["1 234", "56", "7\u202f890.5"], [1234, 56, 7890.5], "spaces or apostrophes group thousands"),
        (["1'234", "-56", "0"], [1234, -56, 0], "spaces or apostrophes group thousands"),
        (["1 234,5", "56", "0,25"], [1234.5, 56, 0.25], "spaces group thousands, commas are decimal"),
        (["1,5", "0,567", "12"], [1.5, 0.567, 12], "commas are decimal"),
        (["12%", "3.5 %", "-1%"], [12, 3.5, -1], "percent signs are left out"),
        (["$1,234.5", "-$7", "$0"], [1234.5, -7, 0], "currency signs are left out, commas group thousands"),
        (["1.234,50 €", "3,00 €", "2 €"], [1234.5, 3, 2], "currency signs are left out, points group"),
        (["1,23", "1,234.5", "7"], None, None),  # no way of writing fits both
        (["1,2345", "1,234.5", "7"], None, None),
        (["$7", "12%", "3"], None, None),
        (["1.234.567", "0.5", "7"], None, None),
    ],
)
def test_numbers_as_people_write_them(tmp_path, cells, numbers, note):
    path = saved(tmp_path, lines("a,b,y", [f'"{cell}",{i * i},{i}' for i, cell in enumerate([*cells, ""])]))
    if numbers is None:
        with pytest.raises(InvalidInput, match=r"column 'a': .* is not a finite number"):
            read(path, "y", missing="drop")
        return
    table = read(path, "y", missing="drop")
    np.testing.assert_array_equal(table.X[:, 0], numbers)
    assert any(found.startswith(f"column 'a': {note}") for found in table.notes)


def test_quoted_lines_count(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('a,b,y\n"x\ny",1,1\nz,,2\n')
    with pytest.raises(InvalidInput, match="line 4, column 'b': nothing there"):
        read(path, "y", text="drop")
    path.write_bytes(b"a,y\n1\0,2\n")
    with pytest.raises(DataError, match="zero bytes"):
        read(path, "y")


def test_labels_in_a_picture_keep_apart_and_in_order():
    draws = np.random.default_rng(0)
    for _ in range(50):
        values = list(draws.standard_normal(8) * 10.0 ** draws.integers(-3, 1))
        places = pictures._apart(values, 0.2)
        assert np.argsort(places).tolist() == np.argsort(values).tolist()
        assert np.diff(np.sort(places)).min() >= 0.2 - 1e-9
        assert np.mean(places) == pytest.approx(np.mean(values))
    far = [0.0, 3.0, 1.0]
    assert pictures._apart(far, 0.2) == pytest.approx(far) and pictures._apart([], 0.2) == []


def test_libsvm_files(tmp_path):
    path = tmp_path / "a.libsvm"
    path.write_text("# made by hand\n+1 1:0.5 3:2\n-1 2:1 # here\n\n+1 qid:7 3:4\n")
    table = read(path, None)
    np.testing.assert_array_equal(table.X.toarray(), [[0.5, 0, 2], [0, 1, 0], [0, 0, 4]])
    np.testing.assert_array_equal(table.y, [1, -1, 1])
    assert table.names == ["X[1]", "X[2]", "X[3]"]
    for text, message in (("1 1:2\n1 a:2\n", "line 2: 'label index:value"), ("1\n", "no entries")):
        path.write_text(text)
        with pytest.raises(InvalidInput, match=message):
            read(path, None)


@pytest.mark.parametrize("kind", ["csr", "csc"])
def test_sparse_npz_files(tmp_path, kind):
    X = sparse.random_array((30, 6), density=0.4, rng=np.random.default_rng(0), format=kind)
    parts = {"data": X.data, "indices": X.indices, "indptr": X.indptr, "shape": X.shape, "format": kind.encode()}
    np.savez(tmp_path / "a.npz", **parts, y=np.arange(30.0))
    table = read(tmp_path / "a.npz", None)
    np.testing.assert_array_equal(table.X.toarray(), X.toarray())


def test_parquet_files(tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    parquet.write_table(
        pyarrow.table({"a": [1, 2, None], "b": ["u", "v", "u"], "y": [1.0, 2.0, 3.0]}), tmp_path / "a.parquet"
    )
    table = read(tmp_path / "a.parquet", "y", missing="mean", text="encode")
    np.testing.assert_array_equal(table.X, [[1, 0], [2, 1], [1.5, 0]])
    (tmp_path / "b.parquet").write_text("nothing")
    with pytest.raises(DataError, match="not a Parquet file"):
        read(tmp_path / "b.parquet", "y")


def test_parquet_without_its_library_says_so(tmp_path, monkeypatch):
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "a.parquet").write_text("")
    with pytest.raises(MissingCapability, match="need pyarrow"):
        read(tmp_path / "a.parquet", "y")


def test_the_fit_command_on_a_messy_table(messy, tmp_path, capsys):
    words = ["--target", "price", "--k", "1", "--missing", "mean", "--text", "drop", "--folds", "2"]
    assert command.main(["fit", str(messy), *words, "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "note         constant columns are left out: unit" in shown and "held out" in shown
    found = json.loads((tmp_path / "out" / "fit.json").read_text())
    assert found["k"] == 1 and len(found["coefficients"]) == 1 and [row["k"] for row in found["path"]] == [0, 1, 2]
    assert found["gap"] == pytest.approx(found["value"] - found["lower_bound"]) and len(found["notes"]) == 8
    assert (tmp_path / "out" / "path.svg").read_text().count("<svg") == 1
    assert command.main(["fit", str(messy), *words[:-1], "1"]) == 2
    assert "folds = 1; give 2 or more" in capsys.readouterr().err
    assert command.main(["fit", str(messy), *words[:-1], "9"]) == 2
    assert "folds = 9 for 4 rows; give at most" in capsys.readouterr().err


def test_held_out_losses_are_those_of_refits_on_the_other_rows():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((40, 5))
    y = X[:, 2] + 0.2 * rng.standard_normal(40)
    found = fit(tables.Table(X, y, list("abcde")), 1, folds=4, seed=3)
    losses, bare = [], []
    for part in models.CrossValidation(4, seed=3).parts(y):
        rest = np.setdiff1d(np.arange(40), part)
        design = np.column_stack([X[rest, 2], np.ones(30)])
        slope, constant = np.linalg.lstsq(design, y[rest])[0]
        losses.append(((y[part] - slope * X[part, 2] - constant) ** 2).mean() / 2)
        bare.append(((y[part] - y[rest].mean()) ** 2).mean() / 2)
    loss, error, without = found.error
    assert loss == pytest.approx(np.mean(losses)) and without == pytest.approx(np.mean(bare))
    assert error == pytest.approx(np.std(losses, ddof=1) / 2)


def test_without_folds_nothing_is_held_out():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((20, 4))
    found = fit(tables.Table(X, X[:, 0], list("abcd")), 1, folds=0)
    assert found.error is None and "held out" not in str(found) and found.summary()["held_out"] is None
    assert all(row["held_out"] is None for row in found.path()) and math.isfinite(found.path()[0]["value"])


# ---- what spreadsheets and data frames leave behind ----------------------------------------------------------------

ROWS = ["1,5,2", "2,3,4", "3,9,5", "4,1,9"]


def saved(tmp_path, text, name="a.csv"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def lines(header, rows):
    return "\n".join([header, *rows]) + "\n"


def test_columns_of_one_name_stay_apart(tmp_path):
    table = read(saved(tmp_path, lines("a,a,y", ROWS)), "y")
    assert table.names == ["a", "a (2)"]
    assert table.notes == ["several columns have the same name and got numbers: a (2)"]
    assert set(fit(table, 2, folds=0).coefficients) == {"a", "a (2)"}
    assert distinct(["a", "a (2)", "a", "a", "b"]) == ["a", "a (2)", "a (3)", "a (4)", "b"]
    with pytest.raises(InvalidInput, match="2 columns named 'a'"):
        read(tmp_path / "a.csv", "a")


def test_a_saved_index_and_a_trailing_comma_are_no_columns(tmp_path):
    table = read(saved(tmp_path, lines(",b,c,y,", [f"{i},{row}," for i, row in enumerate(ROWS)])), "y")
    assert table.names == ["b", "c"]
    assert table.notes == [
        "the index of the rows is left out",
        "a column without a name is empty and is left out",
    ]
    other = read(saved(tmp_path, lines(",c,y", ["3,5,2", "1,3,4", "2,9,5"])), "y")
    assert other.names == ["column 1", "c"]


@pytest.mark.parametrize("cell", ["12%", "1e400", "inf", "2024_01", "'7"])
def test_a_slip_among_numbers_is_no_category(tmp_path, cell):
    path = saved(tmp_path, lines("a,b,y", [*ROWS, f"{cell},2,3"]))
    for text in ("error", "encode"):
        with pytest.raises(InvalidInput, match=r"line 6, column 'a': .* is not a finite number, as 4 other cells are"):
            read(path, "y", text=text)
    assert read(path, "y", text="drop").names == ["b"]


def test_truths_and_dotted_dates_are_numbers(tmp_path):
    path = saved(tmp_path, lines("flag,day,y", ["True,28.2.2024,1", "false,01.03.2024,2", ",29.02.2024,7"]))
    table = read(path, "y", missing="mean", text="encode")
    np.testing.assert_array_equal(table.X, [[1, 0], [0, 2], [0.5, 1]])
    assert table.notes[:2] == ["column 'flag': true is 1, false is 0", "column 'day' has dates: days since 2024-02-28"]


def test_dates_with_slashes_are_read_where_they_are_clear(tmp_path):
    for first, second, days in (("1/2/2024", "13/2/2024", 12), ("1/2/2024", "1/31/2024 12:00", 29.5)):
        table = read(saved(tmp_path, lines("day,y", [f"{first},1", f"{second},2"])), "y", text="encode")
        np.testing.assert_allclose(np.ptp(table.X[:, 0]), days)
    with pytest.raises(InvalidInput, match="1/2/2024 may be the 1th day or month; write dates as 2024-12-31"):
        read(saved(tmp_path, lines("day,y", ["1/2/2024,1", "3/4/2024,2"])), "y", text="encode")


@pytest.mark.parametrize(("pack", "end"), [("gzip", "gz"), ("bz2", "bz2"), ("lzma", "xz")])
@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.tsv", "a.libsvm"])
def test_packed_files(tmp_path, pack, end, name):
    library = importlib.import_module(pack)
    text = "1 1:2 2:3\n4 1:5\n" if "libsvm" in name else lines("a,b,y", ROWS)
    path = tmp_path / f"{name}.{end}"
    (tmp_path / name).write_text(text)
    path.write_bytes(library.compress(text.encode()))
    np.testing.assert_array_equal(
        *(getattr(read(file, "y").X, "toarray", read(file, "y").X.copy)() for file in (path, tmp_path / name))
    )
    for wrong in (library.compress(text.encode())[:-9], text.encode()):
        path.write_bytes(wrong)
        with pytest.raises(DataError, match=f"cannot be unpacked by {pack}"):
            read(path, "y")
    with pytest.raises(InvalidInput, match=r"a file that ends in \.csv"):
        read(tmp_path / "a.npz.gz", "y")


def test_spaces_may_separate_and_align(tmp_path):
    wanted = read(saved(tmp_path, lines("a,b,y", ROWS)), "y").X
    spaced = lines("a  b y", [row.replace(",", "  ") + " " for row in ROWS]).replace("\n", "\n   ")
    table = read(saved(tmp_path, "  " + spaced), "y")
    np.testing.assert_array_equal(table.X, wanted)
    assert table.names == ["a", "b"] and table.notes == ["columns are separated by spaces"]
    quoted = read(saved(tmp_path, lines('"a 1" b y', [row.replace(",", " ") for row in ROWS])), "y")
    assert quoted.names == ["a 1", "b"]


def test_remarks_before_the_header(tmp_path):
    wanted = read(saved(tmp_path, lines("a,b,y", ROWS)), "y")
    table = read(saved(tmp_path, "# made by hand, 2024\n#\n" + lines("a,b,y", ROWS)), "y")
    np.testing.assert_array_equal(table.X, wanted.X)
    assert table.notes == ["lines that begin with # are left out"]
    with pytest.raises(InvalidInput, match="line 8, column 'a'"):
        read(saved(tmp_path, "# made by hand\n\n#\n" + lines("a,b,y", [*ROWS[:3], "x,1,1"])), "y")
    np.savetxt(tmp_path / "a.txt", np.column_stack([wanted.X, wanted.y]), header="a b y")
    table = read(tmp_path / "a.txt", "y")
    np.testing.assert_array_equal(table.X, wanted.X)
    assert table.names == ["a", "b"]


def test_a_missing_header_is_said(tmp_path):
    with pytest.raises(
        InvalidInput, match="first line is all numbers, and one with the names of the columns is needed"
    ):
        read(saved(tmp_path, lines(ROWS[0], ROWS[1:])), "y")


def test_separators_may_be_announced_and_bars(tmp_path):
    announced = read(saved(tmp_path, "sep=;\n" + lines("a,1;b;y", ["1;5;2", "2;;4"])), "y", missing="mean")
    assert announced.names == ["a,1"]  # b has one value left and is constant
    with pytest.raises(InvalidInput, match="line 4, column 'b': nothing there"):
        read(tmp_path / "a.csv", "y")
    assert read(saved(tmp_path, lines("a|b|y", [row.replace(",", "|") for row in ROWS])), "y").names == ["a", "b"]


def test_what_cannot_be_explained_is_said(tmp_path):
    with pytest.raises(InvalidInput, match="column 'y', the target, is empty"):
        read(saved(tmp_path, lines("a,y", ["1,", "2,NA"])), "y", missing="mean")
    with pytest.raises(InvalidInput, match="no column is left beside the target"):
        read(saved(tmp_path, lines("y", ["1", "2"])), "y")
    with pytest.raises(InvalidInput, match="constant in 1 rows: nothing to select"):
        read(saved(tmp_path, lines("a,b,y", ROWS[:1])), "y")
    with pytest.raises(InvalidInput, match="a header and at least one row are needed, found 0"):
        read(saved(tmp_path, ""), "y")
    assert read(saved(tmp_path, lines("a,y", ["1,3", "2,3"])), "y").notes == [
        "the target is 3 in every row: there is nothing to explain"
    ]


def test_arrays_of_the_wrong_shape_are_named(tmp_path):
    X, y = np.random.default_rng(0).standard_normal((9, 4)), np.arange(9.0)
    parts = {"data": np.ones(3), "indices": np.array([0, 7, 1]), "indptr": np.array([0, 1, 2, 3]), "shape": (3, 4)}
    for arrays, sentence in (
        ({"X": X, "y": y[:5]}, r"X has shape \(9, 4\) and y \(5,\); a matrix"),
        ({"X": X, "y": np.float64(1)}, r"and y \(\); a matrix"),
        ({"X": y, "y": y}, r"X has shape \(9,\)"),
        ({"X": X, "y": y, "names": ["a"]}, "1 names for 4 columns"),
        ({"X": X}, "no array 'y'; the arrays are X"),
        ({**parts, "y": y[:3]}, "not an NPZ file of plain arrays"),
        ({"X": X, "y": y.astype(object)}, "not an NPZ file of plain arrays"),
    ):
        np.savez(tmp_path / "a.npz", **arrays)
        with pytest.raises((InvalidInput, DataError), match=sentence):
            read(tmp_path / "a.npz", None)
    for text in ("1 99999999999999999999:1\n", "1 9999999999:1\n"):
        with pytest.raises(InvalidInput, match="an entry has the index"):
            read(saved(tmp_path, text, "a.svm"), None)


def test_torn_files_are_errors_and_never_crashes(tmp_path):
    """Every prefix, and a changed byte at each tenth place, of a file of each kind."""
    np.savez(tmp_path / "whole.npz", X=np.arange(12.0).reshape(4, 3), y=np.arange(4.0))
    saved(tmp_path, lines("a,b,y", ROWS), "whole.csv")
    saved(tmp_path, "1 1:2 3:4\n-1 2:1\n", "whole.svm")
    tried = failed = 0
    for whole in sorted(tmp_path.glob("whole.*")):
        raw, torn = whole.read_bytes(), tmp_path / f"torn{whole.suffix}"
        step = max(1, len(raw) // 60)
        for place in range(0, len(raw), step):
            for damaged in (raw[:place], raw[:place] + bytes([raw[place] ^ 0x55]) + raw[place + 1 :]):
                torn.write_bytes(damaged)
                tried += 1
                try:
                    read(torn, "y")
                except SparsoptError:
                    failed += 1
    assert 50 < failed < tried


# ---- what is written -----------------------------------------------------------------------------------------------


def test_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((20, 4))
    found, out = fit(tables.Table(X, X[:, 0], list("abcd")), 1, folds=0), tmp_path / "deep" / "out"
    assert [path.name for path in fitting.write(found, out)] == ["fit.json", "path.svg"]
    before = {path: path.read_bytes() for path in sorted(out.iterdir())}
    assert sorted(path.name for path in before) == ["fit.json", "path.svg"]

    def torn(summary, file):
        file.write_text("half of a pict")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pictures, "draw", torn)
    with pytest.raises(DataError, match=r"path\.svg could not be written \(No space left on device\)"):
        fitting.write(found, out)
    assert {path: path.read_bytes() for path in sorted(out.iterdir())}[out / "path.svg"] == before[out / "path.svg"]
    assert len(list(out.iterdir())) == 2
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(DataError, match="could not be written"):
        fitting.write(found, tmp_path / "taken")


def test_frames_saved_as_parquet_are_what_they_were(tmp_path):
    """Types of columns that pandas writes: booleans, dates, categories, gaps, and its index."""
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(
        {
            "flag": [True, False, True, False],
            "day": pandas.to_datetime(["2024-03-01", "2024-03-04", "2024-03-02", "2024-03-01"]),
            "kind": pandas.Categorical(["a", "b", "a", "b"]),
            "size": pandas.array([1, None, 3, 4], dtype="Int64"),
            "y": [1.0, 2.0, 4.0, 3.0],
        },
        index=[5, 3, 8, 2],
    )
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv")
    table = read(tmp_path / "a.parquet", "y", missing="mean", text="encode")
    assert table.names == ["flag", "day", "kind=b", "size"] and "the index of the rows is left out" in table.notes
    np.testing.assert_array_equal(table.X[:, :3], [[1, 0, 0], [0, 3, 1], [1, 1, 0], [0, 0, 1]])
    np.testing.assert_allclose(table.X[:, 3], [1, 8 / 3, 3, 4])
    other = read(tmp_path / "a.csv", "y", missing="mean", text="encode")
    assert other.names == ["column 1", *table.names]  # an index that does not count the rows may mean something
    np.testing.assert_array_equal(other.X[:, 1:], table.X)
    np.testing.assert_array_equal(other.y, table.y)
