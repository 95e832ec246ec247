"""What a command imports before all else, so that it ends in order while it imports."""

import os

from lora_lightning.process.early import listen

listen()
# Read when torch is imported: its warnings of connections that break are pages of frames.
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
