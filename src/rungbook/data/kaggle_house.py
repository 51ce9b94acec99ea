"""House prices of Kaggle's competition (De Cock 2011, sales in Ames, Iowa): the train file, the one with prices, as a table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rungbook.data.data import Data
from rungbook.data.local import files_of
from rungbook.data.registry import Download


def load(download: Download, **options: Any) -> Data:
    """The sales, with SalePrice (dollars) as target and without their Id; options as `table_data`."""
    from rungbook.data.table import read_table
    from rungbook.data.tabular import table_data

    (path,) = files_of(download).values()
    table = read_table(path)
    table = replace(table, frame=table.frame.drop(columns="Id"), name=download.name)
    return table_data(table, target="SalePrice", name=download.name, **options)
