"""Facts about knowing whether somebody wrote during a read."""

from tusd_s3.store.quiet import Watchers


def test_a_read_that_nobody_disturbed_is_quiet() -> None:
    """A write to another upload, or before or after the read, is no disturbance."""
    watchers = Watchers(is_sole=True)
    with watchers.writing("a"):
        pass

    with watchers.reading("a") as watch, watchers.writing("b"):
        pass
    with watchers.writing("a"):
        pass

    assert not watch.disturbed


def test_a_write_that_begins_during_the_read_disturbs_it() -> None:
    """However short it is, and whoever else reads."""
    watchers = Watchers(is_sole=True)

    with watchers.reading("a") as first, watchers.reading("a") as second:
        with watchers.writing("a"):
            pass
        with watchers.reading("a") as third:
            pass

    assert first.disturbed
    assert second.disturbed
    assert not third.disturbed


def test_a_write_that_goes_on_disturbs_the_read() -> None:
    """Also when it is one of several, of which one has ended."""
    watchers = Watchers(is_sole=True)

    with watchers.writing("a"):
        with watchers.writing("a"):
            pass
        with watchers.reading("a") as watch:
            pass

    assert watch.disturbed


def test_where_others_write_too_no_read_is_quiet() -> None:
    """Several processes cannot watch each other."""
    with Watchers(is_sole=False).reading("a") as watch:
        pass

    assert watch.disturbed
