"""The forms in which kept pairs are written, one module each."""
