"""The network that tells person from background (``faces/matting.py``), learned on rendered heads.

``wardrobe.py`` gives the heads hair, hats and clothes that they were not rendered with, ``samples.py`` lays them over
other backgrounds, and ``run.py`` trains. Alpha is exact in all of it: nothing is labelled by hand or by a network.
"""
