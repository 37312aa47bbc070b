"""Distilling: the loop, what it learns, the folder of a run, and whether what a folder holds is true."""
