"""RTDOSE in: grids, units, sums, and the doses that a planning system sends back."""
