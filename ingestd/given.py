"""Edge: what command line, environment and config file say, in this order, not checked yet.

Without pydantic, so that what a start can do meanwhile is known early.
"""

import os
import tomllib
from pathlib import Path
from typing import Any

from ingestd.errors import ConfigError

PREFIX = "ingestd_"  #: of variables, in capitals or not: INGESTD_<SECTION>__<KEY>

Tables = dict[str, Any]  #: as TOML is read


def given(path: Path | None, roots: list[Path] | None = None) -> Tables:
    """Collect what is said.

    path   the TOML file, or None for the defaults
    roots  from the command line; they are added to those of the file
    raises ConfigError
    """
    tables = {} if path is None else _file(path)
    if not isinstance(tables.get("root", []), list):
        raise ConfigError(f"{path}: [root]: write [[root]], once for each drop folder")
    for name, text in os.environ.items():
        section, dots, key = name.lower().removeprefix(PREFIX).partition("__")
        if not dots or not name.lower().startswith(PREFIX):
            continue
        if section == "root":
            raise ConfigError(f"{name}: name drop folders with --root, or in the config")
        table = tables.setdefault(section, {})
        if isinstance(table, dict):  # What is no table is refused with the rest.
            table[key] = text
    for root in roots or []:
        tables.setdefault("root", []).append({"path": str(Path(os.path.abspath(root)))})
    return tables


def _file(path: Path) -> Tables:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise ConfigError(f"{path}: cannot be read: {why}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: is nested too deeply") from error


def is_off(tables: Tables, section: str, key: str) -> bool:
    """Whether something is switched off there."""
    table = tables.get(section)
    said = table.get(key) if isinstance(table, dict) else None
    return str(said).lower() in {"off", "false", "no", "0"}
