"""Estimates how many pairs of a table are mismatched, by target-decoy estimation: captions dealt to other images.

`draw` takes a sample of pairs, `decoys` deals their captions to other images, `estimate` compares the scores of both.
"""
