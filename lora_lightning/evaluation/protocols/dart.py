"""The DART protocol: scored as WebNLG is."""

from typing import ClassVar

from lora_lightning.evaluation.protocols.webnlg import WebNLGProtocol


class DARTProtocol(WebNLGProtocol):
    """Score lower-cased, tokenised texts against at most six references.

    Entries without texts give no row and repeated inputs form one group, both before this
    protocol: rows are grouped by equal context (`group_rows`).
    """

    name = "dart"
    test_set_counts: ClassVar = {"groups": 4159, "references": 11842}
