"""What a command imports before all else, so that signals end it in order while it imports."""

from lora_lightning.process.early import listen

listen()
