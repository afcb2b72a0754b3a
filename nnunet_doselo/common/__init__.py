"""What every room may use: errors, files that appear whole, hashes, processes, versions."""
