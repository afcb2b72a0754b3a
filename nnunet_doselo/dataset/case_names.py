"""Names of cases that belong to one patient: a variant of GBM_0_003 is called GBM_0_003_v1."""

import re

VARIANT = re.compile(r"_v\d+$")


def variant_name(patient: str, number: int) -> str:
    """Name of the patient's `number`-th variant, a case with another target and its own dose."""
    return f"{patient}_v{number}"


def patient_of(case: str) -> str:
    """The patient that a case shows: the name without the ending of a variant."""
    return VARIANT.sub("", case)
