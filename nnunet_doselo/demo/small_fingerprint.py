"""nnU-Net's fingerprint of a small dataset in a small memory.

    python -m nnunet_doselo.demo.small_fingerprint 902 -np 2

nnU-Net draws 10^8 intensities a channel however small the dataset, which takes 5.5 GB for four MR sequences. A million
say the same. `nnUNetv2_plan_and_preprocess` uses a fingerprint that is there already; this one replaces it.
"""

import argparse
from collections.abc import Sequence

INTENSITIES = 1e6


def main(arguments: Sequence[str] | None = None) -> None:
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=int, help="number of the dataset")
    parser.add_argument("-np", "--processes", type=int, default=2)
    given = parser.parse_args(arguments)
    extractor = DatasetFingerprintExtractor(given.dataset, given.processes)
    extractor.num_foreground_voxels_for_intensitystats = INTENSITIES
    extractor.run(overwrite_existing=True)


if __name__ == "__main__":
    main()
