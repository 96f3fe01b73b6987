"""What every model family must pass; ids carry the tiny model's name, which begins with its `model_type`."""

import numpy as np
import pytest
import torch
from PIL import Image

from headimpact.attention.capture import capture_attention
from headimpact.attention.queries import response_rows
from headimpact.models.image_tokens import ImageTokenLayout
from headimpact.models.patch_grid import mask_coverage
from headimpact.models.prompts import encode
from tests.tiny_models import TINY_MODELS

SHAPES_HW = [(60, 90), (90, 60), (64, 64), (100, 31), (33, 97), (200, 170), (41, 150)]
BACKGROUND, CHANGED_RED = (100, 250, 250), 130
"""Two constant channels keep the tower's normalisation nearly linear in the third."""

MINIMUM_CORRELATION = 0.95


def picture(size_hw: tuple[int, int], *, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), dtype=np.uint8))


@pytest.fixture(params=TINY_MODELS)
def name(request):
    return request.param


@pytest.fixture
def loaded(name, tiny_model):
    return tiny_model(name)


def embeddings(loaded, images: list[Image.Image]) -> tuple[torch.Tensor, ImageTokenLayout]:
    """Embeddings of one row, with image features put in."""
    batch = encode(loaded, [images], ["Describe the main object."])
    with torch.no_grad():
        merged = loaded.family.language_inputs(loaded.family.backbone(loaded.model), batch.inputs)
    return merged["inputs_embeds"][0], batch.layouts[0]


@pytest.fixture
def unmixed(name, tiny_checkpoint):
    """The model with a tower whose tokens cannot see each other and whose patches are pooled by their mean."""
    from headimpact.models.loading import load_model

    loaded = load_model(tiny_checkpoint(name))
    torch.manual_seed(1)
    with torch.no_grad():
        for path, module in loaded.model.named_modules():
            tower = any(part in path for part in ("vision_tower", "visual"))
            if tower and path.endswith(("attn.out_proj", "attn.proj")):
                module.weight.zero_()
                module.bias.zero_()
            if tower and path.endswith(("patch_embedding", "patch_embed.proj")):
                per_channel = torch.randn(module.weight.shape[:2])
                module.weight.copy_(per_channel.view(*per_channel.shape, *[1] * (module.weight.ndim - 2)) / 200)
    return loaded


class TestImageTokens:
    @pytest.mark.parametrize("side", ["left", "right"])
    def test_found_where_the_model_puts_image_features(self, loaded, side):
        images = [picture(size) for size in SHAPES_HW]
        rows = [[images[0]], [images[1], images[2]], *([image] for image in images[3:])]
        batch = encode(loaded, rows, ["Describe the main object."] * len(rows), padding_side=side)
        with torch.no_grad():
            backbone = loaded.family.backbone(loaded.model)
            filled = loaded.family.language_inputs(backbone, batch.inputs)["inputs_embeds"]
            words = backbone.get_input_embeddings()(batch.inputs["input_ids"])
        changed = (filled != words).any(dim=-1)
        for row, layout in enumerate(batch.layouts):
            assert torch.nonzero(changed[row]).flatten().tolist() == layout.positions.tolist()
            assert set(layout.image_index.tolist()) == set(range(len(rows[row])))

    @pytest.mark.parametrize("size_hw", SHAPES_HW, ids=lambda size: "x".join(map(str, size)))
    def test_grid_cells_are_counted_and_inside_the_picture(self, loaded, size_hw):
        layout = encode(loaded, [picture(size_hw)], ["What?"]).layouts[0]
        rows, columns = layout.grid_hw[0, -1]
        assert len(layout) == rows * columns
        assert ((layout.boxes >= 0) & (layout.boxes <= 1)).all()
        assert layout.areas.sum() <= 1 + 1e-9

    def test_language_inputs_give_the_same_hidden_states(self, loaded):
        rows = [[picture((60, 90))], [picture((90, 60)), picture((64, 64))]]
        batch = encode(loaded, rows, ["What?", "Describe the main object."])
        backbone = loaded.family.backbone(loaded.model)
        with torch.no_grad():
            whole = backbone(**batch.inputs, use_cache=False).last_hidden_state
            split = backbone(**loaded.family.language_inputs(backbone, batch.inputs), use_cache=False)
        assert torch.equal(whole, split.last_hidden_state)


def movement(unmixed, size_hw: tuple[int, int], square: tuple[slice, slice]) -> tuple[np.ndarray, ImageTokenLayout]:
    """How far each image token moves when a square becomes redder, against the whole picture becoming so."""
    pixels = np.full((*size_hw, 3), BACKGROUND, dtype=np.uint8)
    before, layout = embeddings(unmixed, [Image.fromarray(pixels)])
    pixels[..., 0][square] = CHANGED_RED
    after, _ = embeddings(unmixed, [Image.fromarray(pixels)])
    pixels[..., 0] = CHANGED_RED
    whole, _ = embeddings(unmixed, [Image.fromarray(pixels)])
    moved, most = ((changed - before).norm(dim=-1).numpy()[layout.positions] for changed in (after, whole))
    # Tokens of padding have no area; beside the picture they move a little, through the resizing filter.
    return np.where(layout.areas > 0, moved / np.where(most > 0, most, 1.0), 0.0), layout


def squares(count: int) -> list[tuple[tuple[int, int], tuple[slice, slice]]]:
    """Random squares, a third to two thirds of the short side, over all shapes."""
    rng = np.random.default_rng(5)
    found = []
    for index in range(count):
        height, width = SHAPES_HW[index % len(SHAPES_HW)]
        side = int(min(height, width) * rng.uniform(0.34, 0.67))
        top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
        found.append(((height, width), (slice(int(top), int(top + side)), slice(int(left), int(left + side)))))
    return found


def transposed(layout: ImageTokenLayout) -> np.ndarray:
    """Rectangles as a reader would have them who takes columns for rows."""
    rows, columns = layout.grid_hw[0, -1]
    return layout.boxes.reshape(rows, columns, 4).transpose(1, 0, 2).reshape(-1, 4)


class TestGeometry:
    """The perturbation oracle: what moves is what the layout says, through the real image processor."""

    def test_features_move_with_coverage(self, unmixed):
        told_apart = {"transposed": 0, "one too far": 0}
        for size_hw, square in squares(28):
            mask = np.zeros((1, *size_hw), dtype=bool)
            mask[0][square] = True
            moved, layout = movement(unmixed, size_hw, square)
            expected = mask_coverage(mask, layout.boxes)[0]
            assert correlation(moved, expected) >= MINIMUM_CORRELATION, (size_hw, square)
            wrong = {
                "transposed": mask_coverage(mask, transposed(layout))[0],
                "one too far": np.roll(expected, 1),
            }
            for fault, guess in wrong.items():
                told_apart[fault] += correlation(moved, guess) < MINIMUM_CORRELATION
        assert min(told_apart.values()) >= 14, f"the check must be able to fail: {told_apart}"

    def test_nothing_moves_beyond_the_filters_reach(self, unmixed):
        for size_hw, square in squares(14):
            moved, layout = movement(unmixed, size_hw, square)
            reach = 2 + 2 * int(np.ceil(max(size_hw) / 40))
            wide = np.zeros((1, *size_hw), dtype=bool)
            wide[0][tuple(slice(max(0, part.start - reach), part.stop + reach) for part in square)] = True
            near = mask_coverage(wide, layout.boxes)[0] > 0
            assert moved[~near].max(initial=0.0) == 0.0
            exact = np.zeros((1, *size_hw), dtype=bool)
            exact[0][square] = True
            assert (moved[mask_coverage(exact, layout.boxes)[0] == 1] > 0).all()

    def test_one_processed_pixel_moves_at_most_one_token(self, unmixed):
        batch = encode(unmixed, [picture((60, 90))], ["What?"])
        backbone = unmixed.family.backbone(unmixed.model)
        with torch.no_grad():
            before = unmixed.family.language_inputs(backbone, batch.inputs)["inputs_embeds"][0]
            flat = batch.inputs["pixel_values"].view(-1)
            for index in np.random.default_rng(0).integers(0, len(flat), 20):
                kept = flat[index].item()
                flat[index] = kept + 1
                after = unmixed.family.language_inputs(backbone, batch.inputs)["inputs_embeds"][0]
                flat[index] = kept
                assert (after != before).any(dim=-1).sum() <= 1


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson correlation, 0 where one side does not vary."""
    if one.std() == 0 or other.std() == 0:
        return float((one.std() == 0) == (other.std() == 0))
    return float(np.corrcoef(one, other)[0, 1])


class TestCapture:
    @pytest.mark.parametrize("implementation", ["sdpa", "eager"])
    @pytest.mark.parametrize("side", ["left", "right"])
    @pytest.mark.parametrize("rows", [1, 2])
    def test_rows_are_eagers(self, name, tiny_model, implementation, side, rows):
        loaded, eager = (
            tiny_model(name, attn_implementation=implementation),
            tiny_model(name, attn_implementation="eager"),
        )
        images = [[picture((60, 90))], [picture((100, 50)), picture((64, 64))]][:rows]
        texts = ["a red circle", "a large square near the top of the background"][:rows]
        batch = encode(loaded, images, ["What colour?", "Describe it."][:rows], texts, padding_side=side)
        queries = response_rows(batch.response_spans)
        keys = [torch.from_numpy(layout.positions) for layout in batch.layouts]
        with torch.no_grad():
            plain = loaded.family.backbone(loaded.model)(**batch.inputs, use_cache=False).last_hidden_state
            with capture_attention(
                loaded.family.attention_modules(loaded.model), queries=queries, keys=keys
            ) as captured:
                watched = loaded.family.backbone(loaded.model)(**batch.inputs, use_cache=False).last_hidden_state
            attentions = eager.family.backbone(eager.model)(
                **batch.inputs, use_cache=False, output_attentions=True
            ).attentions
        assert torch.equal(plain, watched)
        for row in range(rows):
            expected = torch.stack([layer[row][:, queries[row]][:, :, keys[row]].mean(dim=1) for layer in attentions])
            torch.testing.assert_close(captured.maps[row], expected, atol=1e-6, rtol=0)
            assert captured.sees_image[row].all()


def test_architecture_names_language_modules_alone(loaded):
    summary = loaded.family.architecture(loaded.config)
    modules = dict(loaded.model.named_modules())
    assert (summary.num_layers, summary.num_heads, summary.num_key_value_heads, summary.head_dim) == (3, 4, 2, 8)
    assert summary.total_parameters == loaded.model.num_parameters()
    for projection, (inputs, outputs) in summary.projections.items():
        module = modules[summary.module_name(2, projection)]
        assert (module.in_features, module.out_features) == (inputs, outputs)
        assert summary.module_name(2, projection).startswith(loaded.family.layer_prefix(2) + ".")
    assert list(loaded.family.attention_modules(loaded.model)) == [0, 1, 2]
