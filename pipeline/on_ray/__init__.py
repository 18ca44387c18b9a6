"""The only package that imports ray: it lowers the flow's list of stages to Ray Data and runs it on a cluster."""
