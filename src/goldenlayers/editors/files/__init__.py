"""An edit on disk: one file per format, one record that all of them hold."""
