"""The stages of the flow: callables from an Arrow table to Arrow tables, without Ray.

decode.ReadAndDecode   chunks   -> photos   (pixels, and the pairs that have this photo)
isolate.Isolated       the same, in a child process, which a bad image can kill
embed.Embed            photos   -> rows     (the table's columns)
write.WriteFragments   rows     -> staged   (pickled `Staged`, for the committer)
"""
