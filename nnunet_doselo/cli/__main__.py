"""`python -m nnunet_doselo.cli`, as `doselo`."""

from . import app

app()
