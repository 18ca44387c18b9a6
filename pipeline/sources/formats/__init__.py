"""The formats of an input, one module each. `formats()` finds every module here, so a new format is only a new file."""
