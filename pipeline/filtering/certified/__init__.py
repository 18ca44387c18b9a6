"""Cuts that labels certify: which pairs to label, the exact tests, and the files of labels."""
