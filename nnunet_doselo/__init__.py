"""Dose-guided nnU-Net: segmentation for radiotherapy whose mistakes cost little dose."""

__version__ = "0.1.0"
