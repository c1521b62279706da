"""The mark that tells people and machines that a picture or a video is synthetic.

Its value is IPTC's term for media made by a trained model, under the name of IPTC's property: "Digital Source
Type" of the IPTC Photo Metadata Standard. A PNG carries it as text and as an XMP packet, which image programs and
search engines read; an MP4, for which FFmpeg writes no XMP, as a metadata entry. The comment says it in words.
Source: https://cv.iptc.org/newscodes/digitalsourcetype/
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ..errors import InputError
from ..files import atomic_path

KEY = "DigitalSourceType"
VALUE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
COMMENT = "Synthetic media: made by a trained model with ComfyUI-VividPortraits."

MARK = MappingProxyType({KEY: VALUE, "comment": COMMENT})
"""Metadata entries of a marked file."""

XMP_CHUNK = "XML:com.adobe.xmp"
"""Keyword of the PNG text chunk that holds XMP."""

XMP = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
   Iptc4xmpExt:DigitalSourceType="{VALUE}"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def save_png(image: Tensor, path: str | os.PathLike[str], *, entries: Mapping[str, str], mark: bool = True) -> Path:
    """Write one picture with text entries, atomically.

    Args:
        image: (3 or 4, H, W) in [0, 1].
        entries: further texts, such as the workflow.
        mark: whether to write ``MARK`` and ``XMP`` too.
    Raises:
        InputError: the file cannot be written.
    """
    texts = PngInfo()
    for key, value in {**entries, **(MARK if mark else {})}.items():
        texts.add_text(key, value)
    if mark:
        texts.add_itxt(XMP_CHUNK, XMP)
    levels = (image.detach().float() * 255.0).round().clamp(0, 255).to(torch.uint8)
    path = Path(path)
    try:
        with atomic_path(path) as partial:
            Image.fromarray(levels.permute(1, 2, 0).cpu().numpy()).save(partial, pnginfo=texts, compress_level=4)
    except OSError as error:
        raise InputError(
            f"image {path}: cannot be written ({error.strerror or error}); free some space or choose another folder"
        ) from error
    return path
