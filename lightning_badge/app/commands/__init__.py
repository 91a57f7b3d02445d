"""The subcommands, one module each: its ``command`` is found by the module's name.

Modules here import torch, lightning and hydra inside their functions, so that ``--help`` is quick.
"""
