"""Trainers against each other on the same data: trains, predicts, plans, scores and tests what is missing."""
