"""What takes many edits: each fact alone at several layers, and many facts one after another."""
