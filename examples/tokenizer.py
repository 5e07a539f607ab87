"""A tokenizer: the most frequent words of the training documents, with the blank before them; else bytes.

tokenizer: ./tokenizer.py:Words
tokenizer_options: {most: 100}
task: language_model
dataset_type: text
data_dir: examples
dataset_options: {train: README.md, length: 16}
model_type: lstm
model_options: {width: 16, depth: 1}
"""

import re
from collections import Counter

PART = re.compile(rb" ?\w+|\W")


class Words:
    """Tokens 0 to 255 are bytes, those above are words."""

    def __init__(self, documents, most=1000):
        counts = Counter(part for document in documents for part in PART.findall(document) if len(part) > 1)
        self.tokens = {word: [256 + place] for place, (word, _) in enumerate(counts.most_common(most))}
        self.token_bytes = [1] * 256 + [len(word) for word in self.tokens]

    def encode(self, document):
        """A word's token if it has one, else those of its bytes."""
        return [token for part in PART.findall(document) for token in self.tokens.get(part, part)]
