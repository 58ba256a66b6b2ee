"""Time and peak memory of a network under load, on the user's own machine."""
