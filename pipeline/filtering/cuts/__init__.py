"""The kinds of cut, one module each."""
