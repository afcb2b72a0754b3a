"""nnU-Net's trainer with a dose term: hooks, the paper's pair, speed trainers, names, log, export."""
