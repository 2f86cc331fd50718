"""Pure. What was read becomes Arrow tables, column by column.

Rows of `tag` are shared between the files that have the same element, so each is converted once
and then taken as often as it is needed. They come out sorted by path: DuckDB then packs them
into half the room and finds them three times as fast.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingestd.dicom.elements import Element
from ingestd.tables import NUMBERED, TAG


def tag_table(seqs: Sequence[int], files: Sequence[Sequence[Element]]) -> pa.Table:
    """Make the rows of `tag` for some files.

    seqs   of each file
    files  the elements of each
    """
    total = sum(map(len, files))
    if not total:
        return TAG.empty_table()
    identity = np.fromiter(map(id, chain.from_iterable(files)), np.int64, total)
    _, first, which = np.unique(identity, return_index=True, return_inverse=True)
    distinct, rank = _distinct(files, first)
    order = rank[which]
    sorting = np.argsort(order, kind="stable")
    of_file = np.repeat(np.asarray(seqs, np.int64), [len(rows) for rows in files])
    numbers = pa.array(order[sorting])
    columns = [
        pa.DictionaryArray.from_arrays(numbers, column)
        if field.type == NUMBERED
        else column.take(numbers)
        for field, column in zip(list(TAG)[1:], distinct, strict=True)
    ]
    return pa.Table.from_arrays([pa.array(of_file[sorting]), *columns], schema=TAG)


def _distinct(
    files: Sequence[Sequence[Element]], first: NDArray[np.int64]
) -> tuple[list[pa.Array], NDArray[np.int32]]:
    """Make columns of the elements at some places, sorted, and say where each one went."""
    rows = list(chain.from_iterable(files))
    chosen = [rows[place] for place in first.tolist()]
    order = sorted(range(len(chosen)), key=lambda at: chosen[at][0])
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    columns = zip(*(chosen[at] for at in order), strict=True)
    types = [pa.string() if field.type == NUMBERED else field.type for field in list(TAG)[1:]]
    return [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)], rank
