"""Procedurally drawn scenes with captions: data whose truth is known, to train and measure a small SigLIP.

A scene is one to three coloured shapes in a layout on a background (`grammar`), given coordinates (`place`),
drawn (`draw`) and put into words (`captions`). `truth` says whether a caption is false of a picture,
`corrupt` makes captions that are, and `dataset` writes all of it to disk or hands it to a trainer. Imports
nothing beyond numpy, pillow and pyarrow.
"""
