"""A command that is killed at a chosen moment: where it can be, and what runs it."""
