"""What is edited in: loading, edit sites, tokens and spans."""
