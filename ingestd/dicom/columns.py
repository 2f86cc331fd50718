"""Pure. The text of an element becomes the typed value of its column, or a word why it cannot."""

import math
import re
from collections.abc import Callable
from datetime import date, time

from ingestd.dicom.values import Value

Typed = str | int | float | date | time | list[str] | list[int] | list[float] | None

_DAY = re.compile(r"(\d{4})\.?(\d\d)\.?(\d\d)", re.ASCII)  # With dots: ACR-NEMA, still met.
_TIME = re.compile(r"(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.(\d{1,6}))?)?)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


def typed(sql_type: str, value: Value) -> Typed:
    """Convert the value of an element for a column.

    raises  ValueError, with a sentence that names no value
    """
    if value.vm == 0:
        return None
    if value.text is None:
        raise ValueError("binary, where text or a number was expected")
    if sql_type == "VARCHAR":
        return value.text
    convert = _CONVERTERS[sql_type.removesuffix("[]")]
    if sql_type.endswith("[]"):
        parts = value.text.split("\\")
        if len(parts) != value.vm:
            raise ValueError(f"{value.vm} values are too many for this column")
        return [convert(part) for part in parts]  # type: ignore[return-value]
    if value.vm != 1:
        raise ValueError(f"{value.vm} values, where one was expected")
    if convert is _double and value.number is not None and math.isfinite(value.number):
        return value.number
    return convert(value.text)


def _date(text: str) -> date:
    hit = _DAY.fullmatch(text)
    if hit is None:
        raise ValueError("not a date in the form YYYYMMDD")
    try:
        return date(int(hit[1]), int(hit[2]), int(hit[3]))
    except ValueError:
        raise ValueError("no day of the calendar") from None


def _time(text: str) -> time:
    hit = _TIME.fullmatch(text)
    if hit is None:
        raise ValueError("not a time in the form HHMMSS.FFFFFF")
    hour, minute, second = (int(part or 0) for part in hit.groups()[:3])
    try:
        return time(hour, minute, second, int((hit[4] or "").ljust(6, "0")))
    except ValueError:
        raise ValueError("no time of the day") from None


def _double(text: str) -> float:
    if not _NUMBER.fullmatch(text):  # float() also takes "1_0", "nan" and Arabic digits.
        raise ValueError("no decimal number")
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("too large for a double")
    return number


def _integer(text: str) -> int:
    number = _double(text)
    if not number.is_integer():
        raise ValueError("no integer")
    if not -(2**31) <= number < 2**31:
        raise ValueError("does not fit 32 bits")
    return int(number)


def _bigint(text: str) -> int:
    if not text.lstrip("+-").isdecimal() or not -(2**63) <= int(text) < 2**63:
        raise ValueError("no integer of 64 bits")
    return int(text)


_CONVERTERS: dict[str, Callable[[str], str | int | float | date | time]] = {
    "VARCHAR": str,
    "INTEGER": _integer,
    "BIGINT": _bigint,
    "DOUBLE": _double,
    "DATE": _date,
    "TIME": _time,
}
