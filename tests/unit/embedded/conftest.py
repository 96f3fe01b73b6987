import pytest

from headimpact.embedded.corpus import corpus_texts
from headimpact.embedded.tokenizer import train_tokenizer


@pytest.fixture(scope="package")
def tokenizer():
    return train_tokenizer(corpus_texts(seed=0, count=60))
