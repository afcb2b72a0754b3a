"""Training samples: cached patients, augmentation, loaders."""
