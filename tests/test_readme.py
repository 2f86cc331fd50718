"""The README says what is true."""

import re
import subprocess
import tomllib
from pathlib import Path

from daemons import COMMAND

from ingestd import toml

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_first_query_gives_the_answer_that_the_readme_prints(scanned: Path) -> None:
    found = re.search(
        r'^\$ ingestd sql "(?P<query>.*?)"\n(?P<answer>.*?)\n```', README, re.MULTILINE | re.DOTALL
    )
    assert found is not None
    done = subprocess.run(
        [*COMMAND, "sql", found["query"], "--state", str(scanned)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found["answer"].split("\n") == done.stdout.rstrip("\n").split("\n")


def test_the_smallest_config_is_one(tmp_path: Path) -> None:
    found = re.search(r"```toml\n(?P<toml>.*?)```", README, re.DOTALL)
    assert found is not None
    (tmp_path / "ingestd.toml").write_text(found["toml"])
    loaded = toml.load(tmp_path / "ingestd.toml")
    assert len(loaded.root) == len(tomllib.loads(found["toml"])["root"])


def test_every_file_that_the_readme_links_is_there() -> None:
    links = re.findall(r"\]\((?!http)([^)]+)\)", README)
    missing = [link for link in links if not (Path(__file__).parents[1] / link).exists()]
    assert links
    assert missing == []


def test_the_two_commands_stand_there_letter_for_letter() -> None:
    install = "python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt -e "
    assert f"{install}. && .venv/bin/ingestd demo\n" in README
    assert f'{install}".[test]" && .venv/bin/pytest\n' in README
