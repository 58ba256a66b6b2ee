"""What an evaluation holds and how it is shown: evaluate writes it, report and verify read it."""
