import os
import tomllib
from pathlib import Path

import pytest

from ingestd.config import Config
from ingestd.errors import ConfigError
from ingestd.toml import as_toml, load

SHIPPED = Path(__file__).parents[1] / "config" / "ingestd.toml"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "ingestd.toml"
    path.write_text(text)
    return path


def test_one_root_and_nothing_else_is_a_config(tmp_path: Path) -> None:
    config = load(written(tmp_path, '[[root]]\npath = "/data"\n'))
    assert [root.key for root in config.root] == ["/data"]


def test_roots_of_the_command_line_are_added(tmp_path: Path) -> None:
    config = load(written(tmp_path, '[[root]]\npath = "/data"\n'), [Path("/more/../other")])
    assert [root.key for root in config.root] == ["/data", "/other"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("[setle]\n", "[setle]: no such key; did you mean settle?", id="a section"),
        pytest.param(
            "[settle]\nquiets = 1\n",
            "[settle] quiets: no such key; did you mean quiet_s?",
            id="a key",
        ),
        pytest.param(
            '[[root]]\npath = "/a"\nwach = "poll"\n',
            "[root] 0.wach: no such key; did you mean watch?",
            id="a key of a root",
        ),
        pytest.param("[settle]\nquiet_s = 0\n", "greater than 0", id="a value out of range"),
        pytest.param('[[root]]\npath = "data"\n', "must be an absolute path", id="a relative root"),
        pytest.param(
            '[[root]]\npath = "/a"\n[[root]]\npath = "/a/b"\n',
            "/a/b lies in /a; each file would be seen twice",
            id="a root in a root",
        ),
        pytest.param(
            '[[root]]\npath = "/a"\ntake = "remove"\n',
            "'index', 'move' or 'copy'",
            id="a way to take files that there is not",
        ),
        pytest.param(
            '[[root]]\npath = "/a"\n[archive]\npath = "/a/archive"\n',
            "must not lie in each other",
            id="an archive in a root",
        ),
        pytest.param(
            '[[root]]\npath = "/a/b"\nquarantine = "/a"\n',
            "must not lie in each other",
            id="a root in a quarantine",
        ),
        pytest.param(
            '[[root]]\npath = "/a"\nquarantine = "/b/c"\n[archive]\npath = "/b"\n',
            "must not lie in each other",
            id="a quarantine in an archive",
        ),
        pytest.param(
            '[[root]]\npath = "/a"\nquarantine = "q"\n',
            "must be an absolute path",
            id="a relative quarantine",
        ),
        pytest.param("root = 3 3\n", "is not TOML", id="no TOML"),
        pytest.param("a = " + "[" * 9999, "is nested too deeply", id="a tower of brackets"),
        pytest.param('[[root]]\npath = "/a\\u0000b"\n', "NUL", id="a NUL in a path"),
        pytest.param('[hooks]\ncommand = ["/a", "\\u0000"]\n', "NUL", id="a NUL in a list"),
        pytest.param(
            f"[workers]\nmemory_bytes = {10**30}\n", "less than or equal", id="too many bytes"
        ),
        pytest.param("[settle]\nquiet_s = 'x'\n", "[settle] quiet_s", id="a word for a number"),
    ],
)
def test_a_config_that_is_wrong_says_where_and_what_to_do(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(ConfigError) as error:
        load(written(tmp_path, text))
    assert says in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_a_section_that_is_no_table_is_told_of_whatever_else_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGESTD_SETTLE__QUIET_S", "7")
    with pytest.raises(ConfigError, match="valid dictionary"):
        load(written(tmp_path, "settle = 3\n"))
    with pytest.raises(ConfigError, match=r"write \[\[root\]\]"):
        load(written(tmp_path, '[root]\npath = "/data"\n'), [Path("/other")])


def test_a_config_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "nothing.toml")


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INGESTD_SETTLE__QUIET_S", "7")
    assert load(written(tmp_path, "[settle]\nquiet_s = 3\n")).settle.quiet_s == 7


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("INGESTD_SETTLE__QUITE_S", "[settle] quite_s: no such key; did you mean quiet_s?"),
        ("INGESTD_SETLE__QUIET_S", "[setle]: no such key; did you mean settle?"),
        ("INGESTD_ROOT__PATH", "name drop folders with --root"),
    ],
)
def test_a_variable_that_sets_nothing_is_told_of(
    monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    monkeypatch.setenv(name, "7")
    with pytest.raises(ConfigError) as error:
        load(None)
    assert says in str(error.value)


def test_the_shipped_config_names_every_key_with_its_default() -> None:
    shipped = tomllib.loads(SHIPPED.read_text())
    assert SHIPPED.read_text() == as_toml(load(None, [Path("/srv/dicom/incoming")]))
    assert set(shipped) == set(Config.model_fields)


def test_what_check_prints_is_a_config_that_means_the_same(tmp_path: Path) -> None:
    config = load(written(tmp_path, '[[root]]\npath = "/a b"\nname = "x\\"y"\nquiet_s = 5\n'))
    assert load(written(tmp_path, as_toml(config))) == config


def test_a_root_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(None, [tmp_path / os.fsdecode(b"\xff")])
