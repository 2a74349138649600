"""Documents of figures and tables: drawn by matplotlib, as one HTML page, as markdown."""
