"""Perturbed contours of a dataset's patients, each planned anew."""
