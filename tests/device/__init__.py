"""A strict stand-in for CUDA, and what is tested with it: `make test-device`."""
