"""Pure. Judges a question that was parsed: what it is made of, what it calls, how large it is.

The tree is what DuckDB's json_serialize_sql gives, of 1.5 or of 2.x. Its size is limited because
DuckDB plans in steps that nobody can interrupt: 300 joins take it ten seconds, lists nested 990
deep more than twenty.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any, Protocol

from ingestd.sqlwords import (
    FUNCTIONS,
    INFORMATION,
    NODES,
    SYSTEM_VIEWS,
    TABLE_FUNCTIONS,
    TYPES,
)

DEPTH = 64  #: expressions and queries within each other
LAMBDAS = 2  #: within each other; each takes the product of what it is given
NAME_PARTS = 8  #: a.b.c ...
MOST = {"table": 48, "query": 256, "call": 4_000}  #: of each kind in one question

PADDING = frozenset(["lpad", "rpad"])  #: slow, and not to be interrupted: to a small length only
PADDED = 4096

#: What SHOW may name besides a table
SHOWN = frozenset(["", "tables", "schemas", "databases", "__show_tables_expanded"])


class NotAllowed(Exception):
    """Why a question is not answered, and what to do; `position` is a byte of the SQL, from 0."""

    def __init__(self, detail: str, position: int | None = None) -> None:
        super().__init__(detail)
        self.position = position


class Names(Protocol):
    """What there is besides DuckDB's own."""

    @property
    def tables(self) -> Collection[str]:
        """Name the tables and views."""
        ...

    @property
    def places(self) -> Collection[str]:
        """Name what may stand before a table: databases and schemas; nothing, too."""
        ...

    @property
    def macros(self) -> Collection[str]:
        """Name the macros."""
        ...


class Judge:
    """Walks one tree.

    names  what the catalog holds, in lower case
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self._count: Counter[str] = Counter()

    def judge(self, tree: Any) -> None:
        """Look at every node.

        raises  NotAllowed
        """
        waiting: list[tuple[Any, frozenset[str], int, int]] = [(tree, frozenset(), 0, 0)]
        while waiting:
            node, ctes, depth, lambdas = waiting.pop()
            if isinstance(node, list):
                waiting += [(part, ctes, depth, lambdas) for part in node]
            if not isinstance(node, dict):
                continue
            deeper = depth + ("class" in node or kind_of(node) in NODES)
            inner = lambdas + (node.get("class") == "LAMBDA")
            self._sized(node, deeper, inner)
            self._node(node, ctes)
            waiting += [(part, seen, deeper, inner) for part, seen in within(node, ctes)]

    def _sized(self, node: dict[str, Any], depth: int, lambdas: int) -> None:
        kind = kind_of(node)
        if depth > DEPTH:
            raise NotAllowed(f"nested more than {DEPTH} deep", place(node))
        if lambdas > LAMBDAS:
            raise NotAllowed(f"more than {LAMBDAS} lambdas within each other", place(node))
        if len(node.get("column_names", ())) > NAME_PARTS:
            raise NotAllowed(f"a name of more than {NAME_PARTS} parts", place(node))
        if "class" in node:
            self._counted("call", node, node["class"] not in ("CONSTANT", "COLUMN_REF"))
        else:
            tables = ("BASE_TABLE", "TABLE_FUNCTION", "SUBQUERY", "EXPRESSION_LIST")
            self._counted("table", node, kind in tables)
            self._counted("query", node, kind.endswith("_NODE"))

    def _counted(self, kind: str, node: dict[str, Any], counts: bool) -> None:  # noqa: FBT001
        self._count[kind] += counts
        if self._count[kind] > MOST[kind]:
            words = {"table": "tables", "query": "queries in each other", "call": "expressions"}
            raise NotAllowed(f"more than {MOST[kind]} {words[kind]} in one question", place(node))

    def _node(self, node: dict[str, Any], ctes: frozenset[str]) -> None:
        kind = kind_of(node)
        if "class" not in node and kind and not known_kind(kind):
            raise NotAllowed(
                f"only questions are answered here, and this holds {kind}", place(node)
            )
        if "function_name" in node:
            self._function(node)
        if kind == "TABLE_FUNCTION" and "function" in node:
            name = str(node["function"].get("function_name", "")).lower()
            if name not in TABLE_FUNCTIONS and name not in self._names.macros:
                raise NotAllowed(f"{name}() may not stand in FROM here", place(node))
        if kind == "BASE_TABLE":
            self._table(node, ctes)
        if kind == "SHOW_REF":
            self._shown(node)
        for name in type_names(node):
            if name.strip('"').lower() not in TYPES:
                raise NotAllowed(f"the type {name} is not answered here", place(node))

    def _function(self, node: dict[str, Any]) -> None:
        name = str(node["function_name"]).lower()
        if name not in FUNCTIONS and name not in self._names.macros:
            raise NotAllowed(f"the function {name}() is not answered here", place(node))
        if name in PADDING and not 0 <= constant(arguments(node)[1:2]) <= PADDED:
            raise NotAllowed(f"{name}() takes a number up to {PADDED} here", place(node))

    def _table(self, node: dict[str, Any], ctes: frozenset[str]) -> None:
        name = str(node["table_name"]).lower()
        if name not in ctes and not self._known(name, node):
            raise NotAllowed(f"there is no table {name}; SHOW TABLES names them", place(node))

    def _shown(self, node: dict[str, Any]) -> None:
        name = str(node.get("table_name", "")).strip('"').lower()
        if name not in SHOWN and not self._known(name, node):
            raise NotAllowed(f"SHOW {name}: there is no such table", place(node))

    def _known(self, name: str, node: dict[str, Any]) -> bool:
        schema, database = (
            str(node.get(f"{of}_name") or "").lower() for of in ("schema", "catalog")
        )
        if schema == "information_schema":
            return name in INFORMATION and database in self._names.places
        places = self._names.places
        known = name in self._names.tables or name in SYSTEM_VIEWS
        return known and schema in places and database in places


def kind_of(node: dict[str, Any]) -> str:
    """Name the kind of a node; nothing for what is none, as the type of a value."""
    kind = node.get("type")
    return kind if isinstance(kind, str) else ""


def known_kind(kind: str) -> bool:
    """Whether a question may hold a part of this kind; types of values are of no harm."""
    return kind in NODES or kind.endswith("_TYPE_INFO")


def within(node: dict[str, Any], ctes: frozenset[str]) -> Iterator[tuple[Any, frozenset[str]]]:
    """Give the parts of a node, each with the names that WITH has given there.

    A name that WITH gives is seen by what comes after it, and by itself only when it is recursive:
    else `WITH "a.csv" AS (FROM "a.csv")` would be a way to a file.
    """
    named = node.get("cte_map")
    if isinstance(named, dict):
        for entry in named.get("map", ()):
            name = str(entry.get("key", "")).lower()
            yield entry["value"], ctes | {name} if recursive(entry["value"]) else ctes
            ctes = ctes | {name}
    if isinstance(node.get("cte_name"), str):
        ctes = ctes | {node["cte_name"].lower()}
    for key, part in node.items():
        if key != "cte_map":
            yield part, ctes


def recursive(value: dict[str, Any]) -> bool:
    """Whether a name of WITH stands for a query that may ask itself."""
    node = value.get("query_node") or value.get("query", {}).get("node", {})
    return bool(node.get("type") == "RECURSIVE_CTE_NODE")


def place(node: dict[str, Any]) -> int | None:
    """Say where in the SQL a node stands; DuckDB's mark for nowhere is 2^64 - 1."""
    at = node.get("query_location")
    return at if isinstance(at, int) and at < 1 << 32 else None


def arguments(node: dict[str, Any]) -> list[dict[str, Any]]:
    """Give what a function is called with, as either version writes it."""
    named = node.get("arguments")
    if named is not None:
        return [argument["expression"] for argument in named]
    return list(node.get("children", ()))


def constant(argument: list[dict[str, Any]]) -> int:
    """Read a whole number that was written out; -1 for anything else."""
    if not argument or argument[0].get("class") != "CONSTANT":
        return -1
    text = argument[0].get("literal", {}).get("text", argument[0].get("value", {}).get("value"))
    return int(text) if str(text).isdecimal() else -1


def type_names(node: dict[str, Any]) -> list[str]:
    """Name the type that a node stands for, as either version writes it; nothing for others."""
    if node.get("class") == "TYPE":
        return [str(node.get("type_name"))]
    if "id" not in node or "type_info" not in node:
        return []
    named = (node["type_info"] or {}).get("name")
    return [str(node["id"]), *([named] if named else [])]
