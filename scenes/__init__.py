"""Procedurally drawn scenes with captions known to be true or false, to train and measure a small SigLIP.

A scene is one to three coloured shapes in a layout on a background (`grammar`). It gets coordinates (`place`), is drawn
(`draw`) and described (`captions`). `truth` decides whether a caption is false for a picture, `corrupt` makes false
captions, `dataset` writes all of it to disk, and `stream` feeds a trainer. Imports only numpy, pillow and pyarrow.
"""
