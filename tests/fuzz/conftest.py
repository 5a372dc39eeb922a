"""The long mode: ``python -m pytest tests/fuzz --hypothesis-profile=long --timeout 0``."""

from hypothesis import settings

settings.register_profile("long", deadline=None, print_blob=True)
