"""Measure how robust a network is, and look for reasons to doubt the number."""
