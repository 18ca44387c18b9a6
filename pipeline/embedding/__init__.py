"""The code of `siglane embed`: the plan, the flow as a list of stages, and the loop that commits its results."""
