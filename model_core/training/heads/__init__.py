"""Rendered heads: a public morphable head, painted, lit and asked for its landmarks.

``ict.py`` reads the head, ``paint.py`` gives it skin, ``scene.py`` and ``render.py`` draw it, ``correspondence.py``
finds the landmarks on it and writes the table of expressions. ``hair.py``, ``clothes.py`` and ``shadow.py`` make a
picture of it, ``performance.py`` and ``demo.py`` the example portrait and clip.
"""
