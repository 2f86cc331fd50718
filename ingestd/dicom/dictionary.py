"""Pure. What PS3.6 and the makers of scanners call their elements, as pydicom has collected it.

The collections are two files of pydicom's, read here without the rest of it: that takes ten times
as long to import, and nothing else of it is needed for a header.
"""

from importlib.util import find_spec, module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any

#: Where a tag stands in a collection that holds patterns: x is any digit.
Patterns = list[tuple[int, int, tuple[str, ...]]]


def _module(name: str) -> ModuleType | Any:
    package = find_spec("pydicom")
    assert package is not None, "pydicom is installed"
    assert package.submodule_search_locations, "it is a package"
    path = f"{package.submodule_search_locations[0]}/{name}.py"
    spec = spec_from_file_location(f"ingestd.dicom.{name}", path)
    assert spec is not None, "a file of Python"
    assert spec.loader is not None, "can be loaded"
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_public = _module("_dicom_dict")

#: What PS3.6 says: tag to VR, VM, name, whether it is retired, keyword.
PUBLIC: dict[int, tuple[str, ...]] = _public.DicomDictionary
REPEATING: Patterns = [
    (int(name.replace("x", "0"), 16), int("".join("F0"[c == "x"] for c in name), 16), entry)
    for name, entry in _public.RepeatersDictionary.items()
]

#: What is known of private elements: creator to tag to VR, VM, name.
PRIVATE: dict[str, dict[str, tuple[str, ...]]] = _module("_private_dict").private_dictionaries


def keyword(tag: int) -> str | None:
    """Give the PS3.6 keyword, None for what has none."""
    entry = _entry(tag)
    return entry[4] or None if entry else None


def public_vr(tag: int) -> str | None:
    """Give the VR that PS3.6 says, such as "US or SS"; None when it says nothing."""
    entry = _entry(tag)
    return entry[0] if entry else None


def private_vr(tag: int, creator: str) -> str | None:
    """Give the VR that is known of a private element, None when none is."""
    known = PRIVATE.get(creator, {})
    group, element = f"{tag >> 16:04X}", f"{tag & 0xFFFF:04X}"
    for name in (
        f"{group}{element}",
        f"{group}xx{element[2:]}",  # Most are told for any block (PS3.5 7.8.1).
        f"{group[:2]}xxxx{element[2:]}",
    ):
        if name in known:
            return known[name][0]
    return None


def _entry(tag: int) -> tuple[str, ...] | None:
    entry = PUBLIC.get(tag)
    if entry is None and not tag >> 16 & 1:
        return next((found for bits, mask, found in REPEATING if not (tag ^ bits) & mask), None)
    return entry
