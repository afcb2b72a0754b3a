"""DICOM files: headers, pixels, planes, series, and which belong to a patient."""
