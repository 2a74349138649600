"""Edits at every layer, scored: the ground truth that layer choices are judged by."""
