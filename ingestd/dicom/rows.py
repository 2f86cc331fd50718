"""Pure. What was read becomes Arrow tables, column by column.

Elements are shared between the files that have the same one, so each is converted once and then
taken as often as it is needed; what it is, and where it stands, is said once for all its values.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingestd.dicom.elements import Element
from ingestd.tables import ATTRIBUTE, ELEMENT, NUMBERED

#: So many fields of an element say what it is, the others what it holds.
WHAT = len(ATTRIBUTE) - 1


def element_tables(
    seqs: Sequence[int], files: Sequence[Sequence[Element]]
) -> tuple[pa.Table, pa.Table]:
    """Make the rows of `attribute` and `element` for some files, sorted by path.

    seqs   of each file
    files  the elements of each
    """
    total = sum(map(len, files))
    if not total:
        return ATTRIBUTE.empty_table(), ELEMENT.empty_table()
    identity = np.fromiter(map(id, chain.from_iterable(files)), np.int64, total)
    _, first, which = np.unique(identity, return_index=True, return_inverse=True)
    distinct, rank = _distinct(files, first)
    order = rank[which]
    sorting = np.argsort(order, kind="stable")
    of_file = np.repeat(np.asarray(seqs, np.int64), [len(rows) for rows in files])
    numbers = pa.array(order[sorting])
    attribute, values = _apart(distinct)
    columns = [
        pa.DictionaryArray.from_arrays(numbers, column)
        if field.type == NUMBERED
        else column.take(numbers)
        for field, column in zip(list(ELEMENT)[1:], values, strict=True)
    ]
    element = pa.Table.from_arrays([pa.array(of_file[sorting]), *columns], schema=ELEMENT)
    return attribute, element


def _distinct(
    files: Sequence[Sequence[Element]], first: NDArray[np.int64]
) -> tuple[list[Element], NDArray[np.int32]]:
    """Give the elements at some places, sorted, and say where each one went."""
    rows = list(chain.from_iterable(files))
    chosen = [rows[place] for place in first.tolist()]
    order = sorted(range(len(chosen)), key=lambda at: chosen[at][0])
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return [chosen[at] for at in order], rank


def _apart(distinct: Sequence[Element]) -> tuple[pa.Table, list[pa.Array]]:
    """Take apart what elements are and what they hold: columns, the first with the number."""
    numbers: dict[tuple[object, ...], int] = {}
    attributes = [numbers.setdefault(row[:WHAT], len(numbers)) for row in distinct]
    held = (attributes, *zip(*(row[WHAT:] for row in distinct), strict=True))
    types = [pa.string() if field.type == NUMBERED else field.type for field in list(ELEMENT)[1:]]
    said = (list(numbers.values()), *zip(*numbers, strict=True))
    table = pa.table(dict(zip(ATTRIBUTE.names, said, strict=True)), schema=ATTRIBUTE)
    return table, [pa.array(column, kind) for column, kind in zip(held, types, strict=True)]
