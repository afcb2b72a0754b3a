"""Open planners: a dose for whoever has no treatment planning system. Fluence optimisation, not a deliverable plan."""
