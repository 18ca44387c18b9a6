"""The stages of the flow: callables from an Arrow table to Arrow tables, without Ray.

ReadAndDecode   chunks            -> photos   (pixels, and the pairs each photo is part of)
Embed           photos            -> rows     (the table's columns)
WriteFragments  rows              -> staged   (pickled `Staged`, for the committer)
"""

from pipeline.stages.decode import ReadAndDecode
from pipeline.stages.embed import Embed, EmbedSettings, EncoderOptions
from pipeline.stages.write import WriteFragments

__all__ = ["Embed", "EmbedSettings", "EncoderOptions", "ReadAndDecode", "WriteFragments"]
