"""The program that makes the bundled sample data and the bundled tiny GPT-2.

Everything under `data/sample` comes out of this package: the texts from the small grammar and the
word lists here, the vocabulary and the weights from those texts. `python -m lora_lightning.sample`
makes all of it anew.
"""
