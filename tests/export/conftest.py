"""The places and the toy file of the commands' tests."""

from tests.commands.conftest import own_cache, toy_npz

__all__ = ["own_cache", "toy_npz"]
