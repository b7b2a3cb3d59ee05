"""Tables from files, and the fit command on a messy one: every repair is asked for and said."""

from __future__ import annotations

import json
import math
import sys

import numpy as np
import pytest
from scipy import sparse

from sparsopt import __main__ as command
from sparsopt import fitting, pictures, tables
from sparsopt.errors import DataError, InvalidInput, MissingCapability
from sparsopt.fitting import fit
from sparsopt.tables import read

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
    np.testing.assert_array_equal(table.X[:, 0], [0, 2, 1])
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


def test_thousands_are_not_decimals_and_quoted_lines_count(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a;b;y\n7;1,5;1\n8;1.234,5;2\n")
    with pytest.raises(InvalidInput, match="line 2, column 'b': '1,5' is not a finite number"):
        read(path, "y")
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
    monkeypatch.setitem(sys.modules, "pyarrow", None)
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
    for part in fitting.CrossValidation(4, seed=3).parts(y):
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
