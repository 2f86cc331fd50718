"""Edge: the config as a TOML file: read with every fault at once, written in full."""

import json
from difflib import get_close_matches
from pathlib import Path

from pydantic import ValidationError

from ingestd.config import Config, Root
from ingestd.errors import ConfigError
from ingestd.given import Tables, given
from ingestd.section import Section, meanings


def load(path: Path | None, roots: list[Path] | None = None) -> Config:
    """Read the config.

    path   the TOML file, or None for the defaults
    roots  from the command line; they are added to those of the file
    raises ConfigError with every fault that was found, one a line
    """
    return checked(given(path, roots), path)


def checked(tables: Tables, path: Path | None) -> Config:
    """Make a config of what is said.

    path   of the file it comes from, for the messages
    raises ConfigError as `load`
    """
    try:
        return Config(**tables)
    except ValidationError as error:
        where = f"{path}: " if path is not None else ""
        raise ConfigError("\n".join(where + line for line in _faults(error))) from None


def _faults(error: ValidationError) -> list[str]:
    """Say each fault in one line: where, what, and for an unknown key what it may have meant."""
    lines = []
    for fault in error.errors():
        at = fault["loc"]
        if not at:  # About several sections at once.
            lines.append(fault["msg"].removeprefix("Value error, "))
            continue
        name = f"[{at[0]}] {'.'.join(str(part) for part in at[1:])}".rstrip()
        if fault["type"] == "extra_forbidden":
            known = _known(at[:-1])
            near = get_close_matches(str(at[-1]), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            lines.append(f"{name}: no such key; {hint}")
        else:
            given = fault["input"]
            it_is = f"; it is {given!r}" if isinstance(given, str | int | float | Path) else ""
            lines.append(f"{name}: {fault['msg'].removeprefix('Value error, ')}{it_is}")
    return lines


def _known(at: tuple[int | str, ...]) -> list[str]:
    """Name the keys that are known at a place of the config."""
    if not at:
        return list(Config.model_fields)
    if at[0] == "root":
        return list(Root.model_fields)
    section = Config.model_fields[str(at[0])].annotation
    return list(section.model_fields) if isinstance(section, type) else []


def as_toml(settings: Config) -> str:
    """Write a config in full, each key with its meaning as a comment."""
    lines = ["# ingestd: every key, its meaning, and its value. What is left out has this default."]
    for name in Config.model_fields:
        value = getattr(settings, name)
        tables = value if name == "root" else (value,)
        for table in tables:
            lines += [
                "",
                f"# {type(table).__doc__}",
                f"[[{name}]]" if name == "root" else f"[{name}]",
            ]
            lines += _keys(table)
    return "\n".join(lines) + "\n"


def _keys(table: Section) -> list[str]:
    """Write the keys of one section; a key that is not set stays a comment."""
    lines = []
    for name, meaning in meanings(type(table)).items():
        value = getattr(table, name)
        lines.append(f"# {meaning}")
        lines.append(f"# {name} =" if value is None else f"{name} = {_toml(value)}")
    return lines


def _toml(value: object) -> str:
    """Write one value; a JSON string is a TOML string."""
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
