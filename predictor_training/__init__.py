"""Training of the dose predictor: data, loop, validation and export."""
