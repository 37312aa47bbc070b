"""Attacks by a seed: what a stranger may hand over, the one way out of each, and what must not have happened."""
