"""Who does the work: this process, or workers of a cluster."""
