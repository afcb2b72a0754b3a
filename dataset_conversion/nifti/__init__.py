"""Patients in NIfTI files, found by a layout file."""
