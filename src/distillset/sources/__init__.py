"""Sources of real sets: files, the hub or Python variables. One file per format; `load` calls them."""
