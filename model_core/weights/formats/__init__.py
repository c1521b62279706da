"""The public checkpoint formats, one a file: known from keys and shapes alone, renamed to this project's names."""
