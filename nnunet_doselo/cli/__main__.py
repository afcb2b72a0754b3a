"""`python -m nnunet_doselo.cli`, as `doselo`."""

from . import app

if __name__ == "__main__":
    app()
