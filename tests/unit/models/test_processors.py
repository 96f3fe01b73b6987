"""What a processor needs besides the ordinary dependencies is said with the install line."""

import json

import pytest
from transformers import CONFIG_MAPPING, LlavaConfig, PixtralVisionConfig
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES
from transformers.utils import is_torchvision_available

from headimpact.core.errors import MissingExtraError
from headimpact.models.families import FAMILIES
from headimpact.models.processors import load_processor
from tests.tiny_models.mistral3 import mistral_tokenizer

NEEDY = [name for name in FAMILIES if FAMILIES.load(name).needs_torchvision]

CONFIGS = {
    **{name: CONFIG_MAPPING[name]() for name in NEEDY},
    "llava with a Pixtral tower": LlavaConfig(vision_config=PixtralVisionConfig()),
}


@pytest.mark.skipif(is_torchvision_available(), reason="torchvision is installed")
@pytest.mark.parametrize("name", CONFIGS)
def test_a_processor_for_torchvision_alone(tmp_path, name):
    config = CONFIGS[name]
    table_entry = config.vision_config.model_type if name not in NEEDY else name
    config.save_pretrained(tmp_path)
    mistral_tokenizer().save_pretrained(tmp_path)
    content = {
        "processor_class": PROCESSOR_MAPPING_NAMES[table_entry],
        "image_processor": {"image_processor_type": IMAGE_PROCESSOR_MAPPING_NAMES[table_entry]["torchvision"]},
    }
    (tmp_path / "processor_config.json").write_text(json.dumps(content))
    match = (
        rf"needs the package 'torchvision', which .*{config.model_type}.*fits torch \d.* with: pip install torchvision"
    )
    with pytest.raises(MissingExtraError, match=match):
        load_processor(str(tmp_path), config, revision=None)
