"""A whole study: one file of settings, the work it asks for, one folder with all that was found."""
