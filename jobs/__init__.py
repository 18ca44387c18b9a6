"""The commands, one module each. A module parses its options, calls the pipeline and prints a summary."""
