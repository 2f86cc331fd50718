"""Edge: the SQL that is kept in files."""

import re
from importlib import resources

FOLDER = resources.files("ingestd.sql")

#: Each gives what is wrong between tables: root, path, uid, detail. The name is that of the kind.
AUDIT = {
    entry.name.removesuffix(".sql"): entry.read_text()
    for entry in sorted((FOLDER / "audit").iterdir(), key=lambda entry: entry.name)
}
AUDIT_ABSENT = (FOLDER / "audit_absent.sql").read_text()
AUDIT_LISTED = (FOLDER / "audit_listed.sql").read_text()
BASIC_PROFILE = (FOLDER / "basic_profile.csv").read_text()
COMMENTS = (FOLDER / "comments.sql").read_text()
DECIDE = (FOLDER / "decide.sql").read_text()
DISAGREEMENT = (FOLDER / "disagreement.sql").read_text()
DISPLACED = (FOLDER / "displaced.sql").read_text()
KEEP_ARCHIVED = (FOLDER / "keep_archived.sql").read_text()
KEEP_REFUSED = (FOLDER / "keep_refused.sql").read_text()
MAKE_WAY = (FOLDER / "make_way.sql").read_text()
RESEARCH = (FOLDER / "research.sql").read_text()
SERIES_FILES = (FOLDER / "series_files.sql").read_text()
TAKEN_AWAY = (FOLDER / "taken_away.sql").read_text()
UNKNOWN = (FOLDER / "unknown.sql").read_text()
VIEWS = (FOLDER / "views.sql").read_text()
VIEW_NAMES = frozenset(re.findall(r"^CREATE OR REPLACE VIEW (\w+)", VIEWS, re.MULTILINE))
WRITE_BATCH = (FOLDER / "write_batch.sql").read_text()
WRITE_LISTED = (FOLDER / "write_listed.sql").read_text()
WRITE_REFUSED = (FOLDER / "write_refused.sql").read_text()


def migrations() -> list[tuple[str, str]]:
    """Give name and script of each migration, in their order."""
    folder = FOLDER / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    for number, name in enumerate(names, start=1):
        assert re.match(rf"{number:04d}_\w+\.sql$", name), f"migration {name} is out of order"
    return [(name, (folder / name).read_text()) for name in names]
