"""Ways to edit: a fact and a layer in, an `Edit` out."""
