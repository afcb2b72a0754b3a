"""The dose predictor: network, inputs, and the frozen artifact that trainers call."""
