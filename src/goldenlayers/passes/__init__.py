"""The shared computations: batches, answer logits, gradient dots, greedy continuations."""
