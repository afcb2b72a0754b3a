"""The extended dataset: voxel grids, images on disk, folder, dose guidance, patients and their structures."""
