"""What every test shares: examples that are the same in every run, however slow the machine."""

from hypothesis import settings

settings.register_profile("distillset", derandomize=True, deadline=None, database=None)
settings.load_profile("distillset")
