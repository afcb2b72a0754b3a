"""DICOM RT: series, structure sets and doses to extended datasets, and contours back to planning systems."""
