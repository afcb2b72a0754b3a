"""CT and organs beside nnU-Net's own data: preprocessed alike, loaded with it, moved with it."""
