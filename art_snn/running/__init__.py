"""What a pass through a network needs, below every gradient rule."""
