"""Rendered heads: a public morphable head, painted, lit and asked for its landmarks.

``ict.py`` reads the head, ``paint.py`` gives it skin, ``scene.py`` and ``render.py`` draw it, ``correspondence.py``
finds the landmarks on it and writes the table of expressions. ``hair.py``, ``clothes.py`` and ``shadow.py`` make a
person of it, whom ``studio.py`` pictures; ``performance.py`` and ``demo.py`` make the example portrait and clip.
``dataset.py`` makes training clips: of anybody (``people.py``) anywhere (``backdrops.py``, ``grading.py``), doing
anything (``tracks.py``), with exact landmarks (``landmarks.py``).
"""
