"""The stages of the flow: callables from an Arrow table to Arrow tables, without Ray.

decode.ReadAndDecode   chunks   -> photos   (pixels, and the pairs each photo is part of)
isolate.Isolated       the same, in a child process that a bad image may kill
embed.Embed            photos   -> rows     (the table's columns)
write.WriteFragments   rows     -> staged   (pickled `Staged`, for the committer)
"""
