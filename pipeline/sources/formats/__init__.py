"""The formats of an input, one module each: `formats()` finds a new one here, and nothing else names it."""
