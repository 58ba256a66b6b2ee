"""The commands: of each its settings, its run, its result and its figure."""
