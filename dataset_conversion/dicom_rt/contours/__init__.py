"""From RTSTRUCT contours to masks."""
