"""The rules of the house, as tests."""

import ast
import re
from pathlib import Path

import pytest

from ingestd.errors import Reason

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "ingestd").rglob("*.py"))
MODULE_LINES, FUNCTION_LINES = 320, 45


def test_the_reasons_page_has_a_section_for_each_reason_and_no_other() -> None:
    page = (ROOT / "docs" / "reasons.md").read_text()
    assert set(re.findall(r"^## (\w+)$", page, re.MULTILINE)) == {str(reason) for reason in Reason}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_fits_in_the_head_and_says_what_it_is(module: Path) -> None:
    text = module.read_text()
    long = [
        node.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES
    ]
    assert text.count("\n") <= MODULE_LINES
    assert long == []
    if module.name != "__init__.py":
        assert text.startswith(('"""Pure.', '"""Edge:', '"""Wiring.'))


@pytest.mark.parametrize(
    "path",
    [
        path
        for pattern in ("*.toml", "*.md", "*.txt", "docs/**/*.md", "deploy/*", "ingestd/**/*.py")
        for path in sorted(ROOT.glob(pattern))
        if path.is_file()
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_file_names_a_registry_or_a_path_of_one_machine(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"index-url|pythonhosted|/root/|/work/|/tmp/w/", text)
