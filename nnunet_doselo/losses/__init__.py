"""Losses: the voxel term, the dose term, and their sum."""
