"""The room of `siglane embed`: the plan, the flow as a list of stages, and the loop that commits what comes of it."""
