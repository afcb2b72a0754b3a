"""Scores of doses and contours, reports of them, and pictures. Needs neither torch nor nnunetv2."""
