"""Folders that come and go with objects, while others make and prune them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tusd_s3.buckets.disk_tree import RETRIES, Tree
from tusd_s3.errors import StoreBusy, StoreError


class Source(type(Path())):  # type: ignore[misc]  # the class of paths on this system
    """A file; before each of its renames something happens."""

    before: Callable[[], None]
    tries = 0

    def rename(self, target: Path) -> Path:
        self.tries += 1
        self.before()
        return Path(self).rename(target)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory of objects."""
    made = tmp_path / "objects"
    made.mkdir()
    return made


@pytest.fixture
def tree(directory: Path) -> Tree:
    """The tree of folders in it."""
    return Tree(directory)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """A file that is to get a name."""
    made = Source(tmp_path / "new")
    made.write_text("data")
    made.before = lambda: None
    return made


class TestRename:
    """A file gets its name."""

    def test_folders_are_made(self, tree: Tree, directory: Path, source: Source) -> None:
        """As many as the name has, or none."""
        tree.rename("put", "a/b/c", source, directory / "a/b/c")

        assert (directory / "a/b/c").read_text() == "data"
        assert not source.exists()

    def test_an_object_is_no_folder(self, tree: Tree, directory: Path, source: Source) -> None:
        """Neither as the parent nor farther above."""
        (directory / "a").write_text("an object")

        for key in ("a/b", "a/b/c"):
            with pytest.raises(StoreError, match="part of its path"):
                tree.rename("put", key, source, directory / key)

        assert source.exists()

    def test_a_folder_of_objects_is_no_object(
        self, tree: Tree, directory: Path, source: Source
    ) -> None:
        """An empty one, left by a crash, gives way."""
        (directory / "a/b").mkdir(parents=True)

        with pytest.raises(StoreError, match="below it"):
            tree.rename("put", "a", source, directory / "a")
        tree.rename("put", "a/b", source, directory / "a/b")

        assert (directory / "a/b").read_text() == "data"

    def test_a_folder_that_vanishes_is_made_again(
        self, tree: Tree, directory: Path, source: Source
    ) -> None:
        """Somebody pruned it because it was empty."""

        def prune_once() -> None:
            if source.tries == 1:
                (directory / "a").rmdir()

        source.before = prune_once

        tree.rename("put", "a/b", source, directory / "a/b")

        assert (directory / "a/b").read_text() == "data"
        assert source.tries == 2

    def test_an_object_that_vanishes_is_no_obstacle(
        self, tree: Tree, directory: Path, source: Source
    ) -> None:
        """Somebody put an object where the folder was, and deleted it again at once."""

        class Flickering(Source):
            def rename(self, target: Path) -> Path:
                self.tries += 1
                if self.tries == 1:
                    raise NotADirectoryError
                return Path(self).rename(target)

        flickering = Flickering(source)

        tree.rename("put", "a/b", flickering, directory / "a/b")

        assert (directory / "a/b").read_text() == "data"

    def test_a_folder_that_always_vanishes_is_given_up(
        self, tree: Tree, directory: Path, source: Source
    ) -> None:
        """No loop goes on for ever."""
        source.before = (directory / "a").rmdir

        with pytest.raises(StoreBusy, match="again and again"):
            tree.rename("put", "a/b", source, directory / "a/b")

        assert source.tries == RETRIES

    def test_a_file_that_is_gone_is_not_looked_for(
        self, tree: Tree, directory: Path, source: Source
    ) -> None:
        """It was discarded; that is no race about folders."""
        source.unlink()

        with pytest.raises(FileNotFoundError):
            tree.rename("put", "a", source, directory / "a")


class TestSettle:
    """What is left of folders."""

    def test_empty_folders_go(self, tree: Tree, directory: Path) -> None:
        """Up to the first that is not; the directory itself stays."""
        (directory / "a/b/c").mkdir(parents=True)
        (directory / "x/y").mkdir(parents=True)
        (directory / "a/object").write_text("data")

        tree.settle(directory / "a/b/c")
        tree.settle(directory / "x/y")

        assert sorted(path.name for path in directory.rglob("*")) == ["a", "object"]

    def test_folders_that_are_gone_are_settled(self, tree: Tree, directory: Path) -> None:
        """Also where an object took the place of one."""
        (directory / "object").write_text("data")

        tree.settle(directory / "never/was")
        tree.settle(directory / "object/below")

        assert (directory / "object").read_text() == "data"
