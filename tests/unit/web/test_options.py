import pytest

from tusd_s3.web.options import WebOptions


@pytest.mark.parametrize("path", ["/", "/files/", "/a/b/"])
def test_base_path_begins_and_ends_with_a_slash(path: str) -> None:
    """Such a path is kept as it is."""
    assert WebOptions(base_path=path).base_path == path


@pytest.mark.parametrize("path", ["", "files/", "/files", "/{id}/"])
def test_other_base_paths_are_refused(path: str) -> None:
    """A route cannot be made of them."""
    with pytest.raises(ValueError, match="base_path"):
        WebOptions(base_path=path)
