"""Nothing that identifies a person is seen under the research profile, whatever is asked."""

import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pydicom.data
import pytest
from conftest import PATIENCE

from ingestd import parse, research
from ingestd.catalog import Catalog
from ingestd.errors import IngestError
from ingestd.model import Arrival
from ingestd.sqltree import NotAllowed
from ingestd.tables import Batch
from ingestd.tasks import file_rows

#: What the table says, read once more: tag -> action.
TABLE = {tag: action for tag, _, action in research.PROFILE}
VRS = "AT CS DS FD FL IS LO OB OD OF OL OV OW SH SL SQ SS SV UC UI UL US UV"
KEPT_VRS = frozenset(VRS.split())
IDS = {"00100020": "PatientID", "00080050": "AccessionNumber"}

#: Our own columns that tell of places, times, or hold words: nobody sees them.
HIDDEN = """
    root path roots instance_root instance_path mtime_ns detail raw evidence missing split_by
    thumbnail_path not_before_utc first_seen_utc state_utc ingested_utc built_utc at_utc seen_utc
    first_arrival_utc last_arrival_utc applied_utc first_study last_study name number place
    tag private_creator vr vm value file event_id given_up_utc gone_utc hook
    attribute_id
"""
WITHHELD = frozenset(HIDDEN.split())


def filled(state: Path, files: Iterable[str]) -> Catalog:
    """A catalog under the profile, with files as workers read them."""
    catalog = Catalog(state, memory_bytes=1 << 29, patience=PATIENCE, profile="research")
    rows = []
    for seq, path in enumerate(files):
        root, _, name = path.rpartition("/")
        it = os.stat(path)
        looked = {"size_bytes": it.st_size, "mtime_ns": it.st_mtime_ns}
        arrival = Arrival(seq=seq, root=root, path=name, **looked)
        try:
            read = parse.read(arrival, max_file_bytes=1 << 22, text_bytes=16384)
        except IngestError:
            continue
        rows.append(read.without_dataset())
    instance, attribute, element, problem = parse.to_tables(rows, {})
    made = {"attribute": attribute, "element": element, "problem": problem}
    catalog.write(Batch(file=file_rows(rows, []), instance=instance, **made))
    return catalog


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    """A catalog of the real files that come with pydicom."""
    folder = Path(pydicom.data.__file__).parent / "test_files"
    files = sorted(str(path) for path in folder.glob("*.dcm"))
    with filled(tmp_path_factory.mktemp("odd"), files) as catalog:
        yield catalog


def hashed(catalog: Catalog, kind: str, text: str) -> str:
    key = (catalog.state / "research.key").read_bytes()
    return hmac.new(key, f"{kind}:{text}".encode(), hashlib.sha256).hexdigest()[:32]


def replaced(catalog: Catalog, uid: str) -> str:
    if not uid or uid.startswith("1.2.840.10008."):
        return uid
    return f"2.25.{int(hashed(catalog, 'UID', uid), 16)}"


def expected(catalog: Catalog, row: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """What is to be seen of an element, by the table; None: nothing."""
    instance_id, path, tag, keyword, creator, vr, vm, value, number, size_bytes = row
    for part in re.findall(r"[0-9A-F]{8}", path):
        action = "" if part in IDS and part == tag else TABLE.get(part, "")
        if int(part[3], 16) % 2 or (action and "U" not in action):
            return None
    overlay = re.match("50|60..[34]000", tag)
    if overlay or keyword is None or creator is not None or vr not in KEPT_VRS:
        return None
    if vr == "UI" and value is not None:
        value = "\\".join(replaced(catalog, uid) for uid in value.split("\\"))
    if tag in IDS:
        value = None if value is None else hashed(catalog, IDS[tag], value)
        number = size_bytes = None
    return instance_id, path, tag, keyword, vr, vm, value, number, size_bytes


def seen(catalog: Catalog, question: str) -> list[tuple[Any, ...]]:
    with catalog.cursor() as db:
        research.enter(db, question)
        return db.execute(question).fetchall()


def see_that_the_table_is_kept(catalog: Catalog) -> None:
    raw = catalog.rows("SELECT * FROM tag")
    wanted = [row for row in (expected(catalog, one) for one in raw) if row is not None]
    found = seen(catalog, "FROM tag")
    assert 0 < len(found) < len(raw)
    assert sorted(map(repr, found)) == sorted(map(repr, wanted))


def see_that_nobody_is_found(catalog: Catalog) -> None:
    """No cell of any table holds a name, an ID, a path or a UID of a real object."""
    secrets = {
        part
        for (value,) in catalog.rows(
            "SELECT DISTINCT value FROM tag WHERE vr IN ('PN', 'UI', 'DA', 'DT')"
            " OR keyword IN ('PatientID', 'AccessionNumber', 'StationName')"
            " UNION SELECT path FROM file UNION SELECT root FROM file"
            " UNION SELECT digest FROM file"
        )
        for part in str(value).split("\\")
        if len(part) >= 6 and not part.startswith("1.2.840.10008.")
    }
    # A word that stands in a name and in a harmless element as well, such as UNKNOWN, tells nobody.
    for row in catalog.rows("SELECT * FROM tag WHERE vr <> 'UI' AND value IS NOT NULL"):
        if row[2] not in IDS and expected(catalog, row) is not None:
            secrets.difference_update({row[7], *row[7].split("\\")})
    with catalog.cursor() as db:
        names = research.tables(db)
    for name in names:
        cells = {str(cell) for row in seen(catalog, f"FROM {name}") for cell in row}
        assert cells & secrets == set(), name


def test_of_each_element_is_seen_what_the_table_leaves(odd: Catalog) -> None:
    see_that_the_table_is_kept(odd)


def test_no_table_shows_a_person(odd: Catalog) -> None:
    see_that_nobody_is_found(odd)


@pytest.mark.long
def test_the_same_for_all_files_of_the_corpus(corpus: Path, tmp_path: Path) -> None:
    files = sorted(str(path) for path in corpus.rglob("*") if path.is_file())
    with filled(tmp_path / "state", files) as catalog:
        assert catalog.rows("SELECT count(*) > 900 FROM instance") == [(True,)]
        see_that_the_table_is_kept(catalog)
        see_that_nobody_is_found(catalog)


def test_every_column_was_judged(odd: Catalog) -> None:
    columns = {
        name
        for (name,) in odd.rows(
            "SELECT DISTINCT column_name FROM duckdb_columns()"
            " WHERE database_name = 'catalog' AND NOT internal"
        )
    }
    judged = research.HARMLESS | research.UIDS | research.HASHED | WITHHELD
    standard = {name for name in columns if name[0].isupper()}
    assert columns - standard - judged == set()
    assert not (research.HARMLESS & WITHHELD)
    visible = {
        name
        for (name,) in odd.rows(
            "SELECT DISTINCT column_name FROM duckdb_columns() WHERE table_name <> 'tag'"
            " AND database_name = 'research' AND schema_name = 'main' AND NOT internal"
        )
    }
    by_table = {keyword for _, keyword, action in research.PROFILE if "U" not in action}
    assert visible & (by_table - {"PatientID", "AccessionNumber"}) == set()
    assert visible & (WITHHELD - {"number"}) == set()


def test_a_table_without_a_namesake_cannot_be_asked_for(odd: Catalog) -> None:
    rows = odd.rows(
        "SELECT DISTINCT table_name FROM duckdb_columns()"
        " WHERE database_name = 'catalog' AND NOT internal"
    )
    with odd.cursor() as db:
        names = set(research.tables(db))
        assert {"instance", "tag", "series", "volume", "file"} < names
        without = {name for (name,) in rows} - names
        assert {"attribute", "element", "migration"} <= without
        for name in without:
            with pytest.raises(NotAllowed):
                research.enter(db, f"FROM {name}")


def test_uids_stay_uids_and_join(odd: Catalog) -> None:
    uids = [uid for (uid,) in seen(odd, "SELECT SOPInstanceUID FROM instance")]
    assert all(re.fullmatch(r"2\.25\.(0|[1-9]\d{0,38})", uid) for uid in uids)
    assert len(set(uids)) == len(uids) > 10
    joined = "SELECT count(*) FROM file JOIN instance USING (SOPInstanceUID)"
    assert seen(odd, joined) == odd.rows(joined)


@pytest.mark.parametrize(
    "question",
    [
        "FROM main.instance",
        "FROM catalog.instance",
        "FROM catalog.main.instance",
        "FROM migration",
        "WITH migration AS (SELECT 1) FROM migration",
        "WITH Instance AS (FROM instance) FROM instance",
        "FROM research.keep.secret",
        "FROM keep.secret",
        "FROM secret",
        "SELECT * FROM pragma_storage_info('instance')",
        "SELECT * FROM duckdb_databases()",
        "SELECT (SELECT max(PatientName) FROM main.instance)",
        "SHOW ALL TABLES",
        "DESCRIBE catalog.main.instance",
        "EXPLAIN FROM catalog.main.instance",
        "EXPLAIN ANALYZE FROM catalog.main.instance",
        "SELECT 1; FROM catalog.main.instance",
        "FROM query_table('catalog.main.instance')",
        "FROM query('FROM catalog.main.instance')",
        "FROM attribute",
        "FROM element",
        "FROM catalog.main.element",
        "FROM main.attribute",
        "SELECT (SELECT max(value) FROM element)",
        "SELECT max(e.value) FROM instance AS i, element AS e",
        "WITH x AS (FROM element JOIN attribute USING (attribute_id)) FROM x",
        "EXPLAIN (ANALYZE, FORMAT json) FROM catalog.main.element",
        "SHOW TABLES FROM catalog",
        "FROM (SHOW TABLES FROM catalog.main)",
        "FROM (DESCRIBE catalog.main.tag)",
        "FROM (DESCRIBE FROM catalog.main.tag)",
        "SUMMARIZE catalog.main.instance",
        "SUMMARIZE FROM catalog.main.instance",
        "FROM information_schema.tables",
        "FROM information_schema.columns",
        "FROM pg_catalog.pg_tables",
        "FROM sqlite_master",
        "FROM duckdb_constraints()",
        "FROM duckdb_types()",
        "FROM research.main.instance",
        "FROM instance AS OF catalog.main.instance",
        "FROM instance UNION ALL BY NAME FROM catalog.main.instance",
        "FROM (PIVOT catalog.main.instance ON Modality IN ('CT') USING max(PatientName))",
        "FROM (UNPIVOT catalog.main.patient ON PatientName, PatientID)",
        "WITH RECURSIVE x AS (SELECT 1 UNION ALL SELECT 1 FROM catalog.main.file) FROM x",
        "SELECT [x FOR x IN (SELECT list(PatientName) FROM main.instance)]",
        "FROM instance SEMI JOIN catalog.main.instance AS h USING (instance_id)",
        "FROM instance, LATERAL (FROM catalog.main.patient)",
        "FROM parts_of([1])",
    ],
)
def test_there_is_no_way_around_the_profile(odd: Catalog, question: str) -> None:
    with odd.cursor() as db, pytest.raises(NotAllowed):
        research.enter(db, question)


@pytest.mark.parametrize(
    "question",
    [
        "WITH x AS (FROM instance) SELECT count(*) FROM x JOIN tag USING (instance_id)",
        "FROM (SHOW TABLES)",
        "DESCRIBE instance",
        "SUMMARIZE series",
        "SELECT * FROM range(3)",
        "EXPLAIN (FORMAT json) SELECT count(*) FROM tag",
        "EXPLAIN ANALYZE SELECT count(*) FROM tag",
        "SELECT column_name FROM duckdb_columns() WHERE table_name = 'series'",
    ],
)
def test_questions_are_answered_under_the_profile(odd: Catalog, question: str) -> None:
    assert seen(odd, question)


def test_the_key_is_in_no_text_that_a_question_can_ask_for(odd: Catalog) -> None:
    key = (odd.state / "research.key").read_bytes()
    texts = [
        str(seen(odd, "FROM duckdb_views()")),
        str(seen(odd, "EXPLAIN ANALYZE SELECT PatientID, SOPInstanceUID FROM instance")),
        str(seen(odd, "EXPLAIN FROM tag WHERE keyword = 'PatientID'")),
    ]
    pads = [bytes(byte ^ mask for byte in key) for mask in (0x36, 0x5C)]
    for secret in (key, *pads):
        parts = (secret.hex(), secret[:8].hex(), str(secret)[2:-1], secret.hex().upper())
        assert not any(part in text for text in texts for part in parts)


#: Each makes DuckDB quote a value, if it looks at one before it has seen that nobody may.
LOUD = (
    "value::DATE IS NOT NULL",
    "value::DOUBLE > 0",
    "error(value) IS NULL",
    "regexp_matches('x', value || '(')",
    "strptime(value, '%j') IS NOT NULL",
    "error(number::VARCHAR) IS NULL",
    "number::UTINYINT = 255",
    "(size_bytes * 9223372036854775) < 0",
    "error(size_bytes::VARCHAR) IS NULL",
    "list_extract([1], value::INTEGER) = 1",
)


def said(catalog: Catalog, question: str) -> str:
    """What DuckDB answers, be it an error; without the SQL that it quotes."""
    with catalog.cursor() as db:
        research.enter(db, question)
        try:
            return str(db.execute(question).fetchall())
        except duckdb.Error as error:
            return str(error).partition("\nLINE")[0]


@pytest.fixture(scope="module")
def hidden(odd: Catalog) -> dict[str, set[str]]:
    """By keyword the values that nobody may see, without those that are seen elsewhere."""
    shown = {str(part) for row in seen(odd, "FROM tag") for part in row}
    values: dict[str, set[str]] = {}
    for row in odd.rows("SELECT * FROM tag WHERE value IS NOT NULL AND keyword IS NOT NULL"):
        if expected(odd, row) is None and len(row[7]) > 3 and row[7] not in shown:
            values.setdefault(row[3], set()).update({row[7], *map(str, row[8:9])})
    return values


@pytest.mark.parametrize("loud", LOUD)
def test_no_error_quotes_a_value_that_is_hidden(
    odd: Catalog, hidden: dict[str, set[str]], loud: str
) -> None:
    assert {"PatientName", "PatientBirthDate", "InstitutionName"} < hidden.keys()
    places = ", ".join(f"'{keyword}'" for keyword in sorted(hidden))
    secrets = {value for values in hidden.values() for value in values if len(value) > 5}
    inner = f"i.instance_id = t.instance_id AND {loud}"
    questions = (
        f"SELECT count(*) FROM tag WHERE {loud}",
        f"SELECT count(*) FROM tag WHERE keyword IN ({places}) AND {loud}",
        f"SELECT count(*) FROM tag WHERE {loud} AND keyword IN ({places})",
        f"SELECT count(*) FROM (SELECT {loud} AS x FROM tag WHERE keyword IN ({places})) WHERE x",
        f"SELECT count(*) FROM tag JOIN (SELECT unnest([{places}]) k) ON keyword = k WHERE {loud}",
        f"SELECT count(*) FROM tag AS t WHERE EXISTS (SELECT 1 FROM instance AS i WHERE {inner})",
        f"SELECT count(*) FROM tag WHERE vr = 'PN' AND {loud}",
    )
    for question in questions:
        words = said(odd, question)
        assert [secret for secret in secrets if secret in words] == [], question
