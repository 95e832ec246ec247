"""What a command imports before all else: it ends in order while it imports, and imports fast."""

import os

from lora_lightning.process import garbage
from lora_lightning.process.early import listen

listen()
garbage.put_off()
# Read when torch is imported: its warnings of connections that break are pages of frames.
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
