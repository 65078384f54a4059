"""How properties are tested: by what comes out, never by how long it took."""

from hypothesis import settings

settings.register_profile("whole", deadline=None)
settings.register_profile("quick", settings.get_profile("whole"), max_examples=30)  # `make unit`
settings.load_profile("whole")
