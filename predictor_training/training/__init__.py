"""The predictor's training: plan, network module, Lightning, export, validation."""
