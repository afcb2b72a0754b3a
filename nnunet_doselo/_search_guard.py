"""Speaks where `nnUNet_extTrainer` names too high a folder: of the package's modules nnU-Net imports this one first.

Its name sorts before theirs. Nothing else imports it.
"""

from nnunet_doselo.common.nnunet_environment import refuse_search_of_everything

refuse_search_of_everything()
