"""The paper's figures and tables, and more, from what a study has stored: one file per figure."""
