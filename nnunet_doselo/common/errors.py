"""The one exception for input that cannot be used."""


class DoseloError(RuntimeError):
    """Input or settings that cannot be used: the message says what must hold, what was found, what to do."""
