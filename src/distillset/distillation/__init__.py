"""Distillation: the loop, the learned tensors, the folder of a run, and its verification."""
