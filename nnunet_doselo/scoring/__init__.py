"""Where doses come from, and folders of contours scored from files to tables."""
