"""Rules that keep or drop scored pairs, one module each: from a table's scores to a cut."""
