"""What is on a disk, on the hub or in a variable becomes a real set: one file a form, `load` in front of them."""
