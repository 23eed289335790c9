"""XML from people: read with limits, entities refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import defusedxml
from defusedxml import ElementTree

from dmaskrcnn.errors import UserError
from dmaskrcnn.files import MOST_TEXT, read_bytes

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


def read_xml(path: Path, most: int = MOST_TEXT) -> Element | None:
    """The top element; None where there is none.

    Args:
        path: the file.
        most: bytes; a larger one is refused.

    Raises:
        UserError: it cannot be read, is too large, is no XML, or has entities.
    """
    try:
        return ElementTree.fromstring(read_bytes(path, most))
    except defusedxml.DefusedXmlException as error:
        raise UserError(f"{path}: XML with entities is refused; remove the DOCTYPE") from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise UserError(f"{path}: not valid XML ({error})") from error
    except OSError as error:
        raise UserError(f"{path}: cannot read the file ({error.strerror})") from error
