"""The grid that a case's images share, and how masks get onto it."""
