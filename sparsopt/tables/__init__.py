"""Tables from files: CSV, Parquet, LIBSVM and NPZ, with what is missing, text, constant or repeated said plainly.

Nothing is repaired silently: a missing cell or a text column is an error that names the place, unless the caller says
what to do about it. How a text file is written (commas, semicolons, tabs, bars or spaces; decimal commas, thousands,
percent; UTF-8 or not; remarks before the header) is found out and noted; so are columns that no model can use
(constant, repeated, the index that a data frame was saved with). Texts may be packed by gzip, bzip2 or xz.

    missing   "error", "drop" (rows with a missing cell), "mean" (of the column; of the target the row is dropped)
    text      "error", "drop" (the column), "encode" (dates as days; a 0/1 column for each value but the first)

>>> import pathlib, tempfile
>>> path = pathlib.Path(tempfile.mkdtemp()) / "a.csv"
>>> _ = path.write_text("colour,size,y\\nred,1,2\\nblue,,3\\nred,4,5\\n")
>>> table = read(path, "y", missing="mean", text="encode")
>>> table.names, table.X.tolist()
(['colour=red', 'size'], [[1.0, 1.0], [0.0, 2.5], [1.0, 4.0]])

`reading` is the way from a file to a table, `columns` what happens to cells that are no numbers, `numerals` which are,
`delimited`, `formats` and `compressed` how files are taken apart.
"""

from sparsopt.tables.reading import Table, read

__all__ = ["Table", "read"]
