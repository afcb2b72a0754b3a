"""Results of a benchmark or an evaluation as one HTML file."""
