"""Reading documents: what somebody holds is not read again."""

from __future__ import annotations

import gc

import pytest
from skillyard.marketplace_sync.catalogue import documents
from skillyard.marketplace_sync.catalogue.documents import CategoryDocument, PublisherDocument, read_document
from skillyard.marketplace_sync.errors import DocumentError

TEXT = PublisherDocument(display_name="Nobody else is called so").text


def test_a_document_that_is_held_is_read_once_and_forgotten_with_its_holder() -> None:
    held = read_document(PublisherDocument, TEXT)
    assert read_document(PublisherDocument, TEXT) is held
    assert (PublisherDocument, TEXT) in documents._HELD
    del held
    gc.collect()
    assert (PublisherDocument, TEXT) not in documents._HELD


def test_the_same_text_is_no_document_of_another_kind() -> None:
    held = read_document(PublisherDocument, TEXT)
    with pytest.raises(DocumentError, match="title"):
        read_document(CategoryDocument, TEXT)
    assert held.display_name == "Nobody else is called so"
