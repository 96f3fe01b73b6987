"""Picture files: odd ones load upright as RGB, bad ones are refused with the reason."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from headimpact.core.errors import DataFormatError
from headimpact.data.pictures import load_upright_rgb, read_picture_facts, turn_mask, unturn_mask, upright_size
from tests.builders import picture, shared_data

ORIENTATIONS = range(1, 9)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_picture_and_mask_turn_as_pillow_turns(tmp_path, orientation):
    path = picture(tmp_path / "p.png", (3, 5), orientation=orientation)
    with Image.open(path) as stored:
        expected = ImageOps.exif_transpose(stored).convert("RGB")
        stored_red = np.asarray(stored)[..., 0] > 127
    upright = load_upright_rgb(path)
    assert np.asarray(upright).tolist() == np.asarray(expected).tolist()
    turned = turn_mask(stored_red, orientation)
    assert turned.tolist() == (np.asarray(expected)[..., 0] > 127).tolist()
    assert unturn_mask(turned, orientation).tolist() == stored_red.tolist()
    facts = read_picture_facts(path)
    assert (facts.stored_hw, facts.orientation) == ((3, 5), orientation)
    assert facts.size_hw == upright_size((3, 5), orientation) == turned.shape


@pytest.mark.parametrize(
    ("name", "size_hw"),
    [
        pytest.param("hopper.jpg", (128, 128), id="rgb"),
        pytest.param("hopper_gray.jpg", (128, 128), id="grey"),
        pytest.param("pil_sample_cmyk.jpg", (100, 100), id="cmyk"),
        pytest.param("hopper_orientation_6.jpg", (128, 128), id="exif"),
        pytest.param("hopper_bw_500.png", (500, 500), id="1-bit"),
        pytest.param("p_trns_single.png", (64, 64), id="palette"),
        pytest.param("transparent.png", (150, 200), id="rgba"),
    ],
)
def test_odd_but_valid_pictures_load(name, size_hw):
    path = shared_data("odd_images") / name
    image = load_upright_rgb(path)
    assert image.mode == "RGB"
    assert (image.height, image.width) == size_hw == read_picture_facts(path).size_hw
    assert np.asarray(image).std() > 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("broken.png", r"broken\.png is broken or not one of JPEG", id="broken"),
        pytest.param("decompression_bomb.gif", r"maybe a decompression bomb: .*bomb\.gif.*at most 89478485", id="bomb"),
        pytest.param("truncated_jpeg.jpg", r"truncated_jpeg\.jpg is truncated or broken .*8 bytes", id="truncated"),
    ],
)
def test_bad_pictures_are_refused(name, message):
    with pytest.raises(DataFormatError, match=message):
        read_picture_facts(shared_data("odd_images") / name)


def test_picture_above_the_limit_but_below_pillows_error_is_refused(tmp_path):
    Image.new("1", (10_000, 9_000)).save(tmp_path / "large.png")
    with pytest.raises(DataFormatError, match="expected at most 89478485 pixels"):
        read_picture_facts(tmp_path / "large.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_picture_above_the_limit_is_refused_without_pillows_warning(tmp_path):
    Image.new("1", (10_000, 9_000)).save(tmp_path / "large.png")
    with pytest.raises(DataFormatError, match="10000 x 9000 pixels; expected at most"):
        read_picture_facts(tmp_path / "large.png")


def test_every_cut_of_a_picture_is_refused(tmp_path):
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(whole, "JPEG")
    for share in (0.01, 0.2, 0.5, 0.9):
        path = tmp_path / f"cut{share}.jpg"
        path.write_bytes(whole.getvalue()[: int(share * len(whole.getvalue()))])
        with pytest.raises(DataFormatError, match="broken"):
            read_picture_facts(path)


def test_transparent_pixels_lie_on_white(tmp_path):
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (255, 0, 0, 255))
    image.putpixel((2, 0), (0, 0, 0, 128))
    image.save(tmp_path / "p.png")
    assert np.asarray(load_upright_rgb(tmp_path / "p.png"))[0].tolist() == [[255] * 3, [255, 0, 0], [127] * 3]


def test_sixteen_bit_grey_keeps_its_upper_bits(tmp_path):
    Image.fromarray(np.array([[0, 255, 256, 65535]], dtype=np.uint16)).save(tmp_path / "p.png")
    assert np.asarray(load_upright_rgb(tmp_path / "p.png"))[0, :, 0].tolist() == [0, 0, 1, 255]


def test_first_frame_is_taken(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "p.gif", save_all=True, append_images=frames[1:])
    assert load_upright_rgb(tmp_path / "p.gif").getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_data_do_not_matter(tmp_path):
    Image.new("RGB", (5, 3), "red").save(tmp_path / "p.jpg", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff")
    assert read_picture_facts(tmp_path / "p.jpg").orientation == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda path: None, r"does not exist\. Restore it", id="missing"),
        pytest.param(lambda path: path.mkdir(), "is not a file", id="folder"),
        pytest.param(lambda path: path.write_bytes(b""), "is broken or not one of", id="empty"),
        pytest.param(lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n"), "not one of JPEG", id="postscript"),
        pytest.param(lambda path: Image.new("F", (2, 2)).save(path, "TIFF"), "float pixels.*8 bits", id="float"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path, make, message):
    path = tmp_path / "p.png"
    make(path)
    for read in (read_picture_facts, load_upright_rgb):
        with pytest.raises(DataFormatError, match=message):
            read(path)
