"""Clinical data into extended nnU-Net datasets."""
