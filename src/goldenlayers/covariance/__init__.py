"""Second moments of the keys: what an editor needs to spare everything but the fact."""
