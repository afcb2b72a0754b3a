"""How well predicted changes of dose follow planned ones under edits of the contour."""
