"""How our own networks run: their layers, and what is known of these."""
