"""Auto-MPG (Quinlan 1993): fuel consumption of 392 cars, as a table."""

from __future__ import annotations

from typing import Any

from rungbook.data.data import Data
from rungbook.data.local import files_of
from rungbook.data.registry import Download


def load(download: Download, **options: Any) -> Data:
    """The cars, with MPG (miles per gallon) as target; options as `table_data`."""
    import pandas as pd

    from rungbook.data.tabular import table_data

    (path,) = files_of(download).values()
    return table_data(pd.read_csv(path), target="MPG", name=download.name, **options)
