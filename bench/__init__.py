"""Speed, shown: each file runs our path beside the obvious one in one process, on the same work."""
