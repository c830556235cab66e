"""Every requirement of the protocol has a test that names it, or an entry in docs/deviations.md."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_ID = re.compile(r"\b(?:CORE|CRE|DEF|CWU|TRM|CAT|CAU)-[0-9]{2}\b")


def numbered(prefix: str, *ranges: range) -> set[str]:
    """Return the ids of a section."""
    return {f"{prefix}-{number:02}" for numbers in ranges for number in numbers}


REQUIREMENTS = (
    numbered("CORE", range(1, 17), range(20, 27), range(30, 48), range(50, 56))
    | numbered("CRE", range(1, 21))
    | numbered("DEF", range(1, 13))
    | numbered("CWU", range(1, 13))
    | numbered("TRM", range(1, 9))
    | numbered("CAT", range(1, 30))
    | numbered("CAU", range(1, 4))
)


def named_in_tests() -> dict[str, list[str]]:
    """Return requirement -> names of the tests whose docstrings name it."""
    named: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests/protocol").glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for requirement in _ID.findall(ast.get_docstring(node) or ""):
                    named.setdefault(requirement, []).append(f"{path.name}::{node.name}")
    return named


def excused() -> set[str]:
    """Return the requirements in the table of docs/deviations.md."""
    text = (ROOT / "docs/deviations.md").read_text()
    return set(re.findall(r"^\| ([A-Z]+-[0-9]{2}) \|", text, re.MULTILINE))


def test_every_requirement_is_tested_or_excused() -> None:
    """None is forgotten."""
    assert REQUIREMENTS - named_in_tests().keys() - excused() == set()


def test_tests_name_requirements_that_exist() -> None:
    """No id is misspelt."""
    assert named_in_tests().keys() - REQUIREMENTS == set()


def test_excuses_are_needed() -> None:
    """What is tested needs no excuse, and what does not exist neither."""
    assert excused() & named_in_tests().keys() == set()
    assert excused() <= REQUIREMENTS


def test_every_protocol_test_says_what_holds() -> None:
    """Each has a docstring."""
    silent = [
        f"{path.name}::{node.name}"
        for path in (ROOT / "tests/protocol").glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert silent == []
