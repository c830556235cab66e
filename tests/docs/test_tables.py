"""The tables in the documentation are those of the code."""

import pytest

from tests.docs import tables


@pytest.mark.parametrize("name", tables.TABLES)
def test_a_table_says_what_the_code_says(name: str) -> None:
    """After a change: python -m tests.docs.tables."""
    assert tables.in_document(name) == tables.TABLES[name]()
