"""What the commands do: a room for each, with its settings, run, result and figure."""
