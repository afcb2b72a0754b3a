"""DICOM registration objects, and how series are linked by them."""
