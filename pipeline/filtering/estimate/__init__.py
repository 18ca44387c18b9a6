"""Estimates how many of the kept pairs are mismatched, from shuffled pairs."""
