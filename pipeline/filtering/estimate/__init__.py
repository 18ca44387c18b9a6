"""How many of the kept pairs are mismatched, estimated from shuffled pairs: the statistics of one cut."""
