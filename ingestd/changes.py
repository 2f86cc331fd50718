"""Pure. What differs between two configs, and what of it can be changed while we run."""

from dataclasses import dataclass

from ingestd.config import Config, Root

#: What DuckDB, the sockets, and who owns which folder, are told once.
SQL_AT_START = ("memory_bytes", "group", "listen")
AT_START = ("archive", "catalog.memory_bytes", *(f"sql.{key}" for key in SQL_AT_START))

PROFILE = "sql.profile"  #: to hide more can be done at once; to show more takes a new start


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a new config asks for."""

    sections: tuple[str, ...]  #: that differ
    ended: tuple[str, ...]  #: roots that are watched as before no more
    begun: tuple[Root, ...]  #: roots that are new, or to be watched otherwise
    retaken: tuple[str, ...]  #: roots whose files are to be taken otherwise than before
    at_restart: tuple[str, ...]  #: keys that count from the next start on
    hidden: bool  #: whether SQL is to show less than before, from now on


def changes(old: Config, new: Config) -> Changes:
    """Compare two configs."""
    sections = tuple(
        name for name in Config.model_fields if getattr(old, name) != getattr(new, name)
    )
    before, after = ({root.key: root for root in one.root} for one in (old, new))
    all_anew = "settle" in sections or "sweep" in sections
    same = {key for key in before.keys() & after.keys() if before[key] == after[key]}
    kept = set() if all_anew else same
    return Changes(
        sections=sections,
        ended=tuple(key for key in before if key not in kept),
        begun=tuple(root for key, root in after.items() if key not in kept),
        retaken=tuple(
            key
            for key in {**before, **after}
            if taking(before.get(key)) != taking(after.get(key))
            or ("retry" in sections and taking(after.get(key)) is not None)
        ),
        at_restart=tuple(
            key
            for key in (*AT_START, *([PROFILE] if new.sql.profile == "full" else []))
            if value(old, key) != value(new, key)
        ),
        hidden=(old.sql.profile, new.sql.profile) == ("full", "research"),
    )


def until_restart(old: Config, new: Config) -> Config:
    """Give the new config with what of the old one holds until the next start."""
    catalog = new.catalog.model_copy(update={"memory_bytes": old.catalog.memory_bytes})
    kept = {key: getattr(old.sql, key) for key in SQL_AT_START}
    if old.sql.profile == "research":
        kept["profile"] = "research"
    sql = new.sql.model_copy(update=kept)
    return new.model_copy(update={"archive": old.archive, "catalog": catalog, "sql": sql})


def taking(root: Root | None) -> tuple[object, ...] | None:
    """Say what is done with the files of a root; None when they stay."""
    if root is None or (root.take == "index" and root.quarantine is None):
        return None
    return root.take, root.quarantine


def value(settings: Config, key: str) -> object:
    """Look up a section, or a key of one."""
    found: object = settings
    for name in key.split("."):
        found = getattr(found, name)
    return found
