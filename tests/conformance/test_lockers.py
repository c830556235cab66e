"""Every locker keeps the promises of `interfaces.Locker`."""

import pytest

from tests.conformance.locker_suite import LockerSuite
from tusd_s3.interfaces import Locker
from tusd_s3.lockers.memory import MemoryLocker


class TestMemoryLocker(LockerSuite):
    """One process: both participants are the same locker."""

    @pytest.fixture
    def participants(self) -> tuple[Locker, Locker]:
        locker = MemoryLocker()
        return locker, locker
