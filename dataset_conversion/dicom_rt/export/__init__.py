"""From label maps to RTSTRUCT for a planning system."""
