"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# A machine that is shared may take its time: a test that only takes long is no failure.
settings.register_profile("runfold", deadline=None)
settings.load_profile("runfold")
