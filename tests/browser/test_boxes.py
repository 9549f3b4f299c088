"""A box on a photo: dragged, sized and moved by keys; what is painted stays within it."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan2.bundle.content import Content
from stylegan2.bundle.folder import CropConfig, save_bundle
from stylegan2.network.config import GeneratorConfig
from stylegan2.network.generator import Generator
from tests.helpers.browser_visitor import CHROMIUM
from tests.helpers.running_app import ASTRONAUT

pytestmark = [
    pytest.mark.browser,
    pytest.mark.weights,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no /usr/bin/chromium on this machine"),
]

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture
def scene(tmp_path):
    """A photo of 600 x 400 px without a face."""
    coarse = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(coarse).resize((600, 400)).save(tmp_path / "scene.png")
    return tmp_path / "scene.png"


def pixels(address):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))).convert("RGB"))


def placed(page):
    """Left, top, width and height of the box, px of the photo."""
    parts = page.locator("#stage .box").evaluate(
        "it => ['left', 'top', 'width', 'height'].map((side) => parseFloat(it.style[side]) / 100)"
    )
    return [part * side for part, side in zip(parts, (600, 400, 600, 400), strict=True)]


def drag(page, start, way):
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + way[0] / 2, start[1] + way[1] / 2)
    page.mouse.move(start[0] + way[0], start[1] + way[1])
    page.mouse.up()


def take(visitor, how):
    """Take the box, and wait until it is on show."""
    version = visitor.page.evaluate("facePump.version")
    how()
    visitor.page.wait_for_function("(version) => facePump.version > version", arg=version)
    visitor.page.locator("#stage .box").wait_for(state="hidden")


def test_a_photo_without_a_face_is_edited_in_a_box_that_is_dragged(visit, scene):
    visitor = visit()
    page = visitor.page
    visitor.upload(scene)
    assert "Drag a box" in visitor.status("No face was found")
    box = page.locator("#stage .box")
    box.wait_for()
    assert placed(page) == pytest.approx([100, 0, 400, 400], abs=1)  # a model of faces draws squares
    edge = box.bounding_box()
    scale = 400 / edge["width"]
    corner = edge["x"] + edge["width"] - 4, edge["y"] + edge["height"] - 4
    drag(page, corner, (-200 / scale, -200 / scale))
    assert placed(page) == pytest.approx([100, 0, 200, 200], abs=3)
    middle = box.bounding_box()
    drag(page, (middle["x"] + 60, middle["y"] + 60), (150 / scale, 80 / scale))
    left, top, width, height = placed(page)
    assert [left, top, width, height] == pytest.approx([250, 80, 200, 200], abs=3)
    strength = float(visitor.range().get_attribute("max"))
    visitor.range().focus()
    page.keyboard.press("End")
    page.wait_for_function("facePump.dirty && !facePump.busy")  # nothing is painted before the box is taken
    assert visitor.shown() is None
    take(visitor, lambda: page.locator("#stage .take-box").click())
    visitor.settle(strength)
    visitor.status("This part is edited.")
    before, after = np.asarray(Image.open(scene)), pixels(visitor.canvas())
    changed = np.abs(after.astype(int) - before).max(2) > 24  # the page is sent JPEG
    rows, columns = np.nonzero(changed)
    assert len(rows) > 500
    assert rows.min() >= top - 1
    assert rows.max() <= top + height + 1
    assert columns.min() >= left - 1
    assert columns.max() <= left + width + 1


def test_the_box_is_taken_and_moved_by_keys_and_the_rest_of_the_photo_stays(visit, scene):
    visitor = visit()
    page = visitor.page
    visitor.upload(scene)
    visitor.status("No face was found")
    box = page.locator("#stage .box")
    box.wait_for()
    take(visitor, lambda: page.keyboard.press("Enter"))  # the first box has the focus
    strength = visitor.to_end()
    page.locator("#stage .view").focus()
    page.keyboard.press("b")
    box.wait_for()
    page.keyboard.press("Escape")
    box.wait_for(state="hidden")
    page.keyboard.press("b")
    page.keyboard.press("ArrowRight")
    for _ in range(4):
        page.keyboard.press("-")
    left, _, width, _ = placed(page)
    assert left > 112
    assert width < 310
    page.keyboard.press("+")
    assert placed(page)[2] == pytest.approx(width * 1.08, abs=1)
    take(visitor, lambda: page.keyboard.press("Enter"))
    assert visitor.settle(strength) is not None  # the edit goes along
    with page.expect_download() as saving:
        page.locator("#stage .save").click()
    before, saved = (np.asarray(Image.open(file)) for file in (scene, saving.value.path()))
    assert saved.shape == before.shape
    changed = (saved != before).any(2)
    assert changed.any()
    assert not changed[:, :100].any()
    assert not changed[:, 500:].any()
    visitor.upload(ASTRONAUT)
    visitor.status("Found")
    page.locator("#stage .move-box").wait_for(state="hidden")


def test_who_goes_on_to_a_slider_while_the_box_is_taken_stays_there(visit, scene):
    visitor = visit()
    page = visitor.page
    visitor.upload(scene)
    visitor.status("No face was found")
    page.locator("#stage .box").wait_for()
    visitor.range().focus()
    page.evaluate("document.querySelector('#stage .take-box').click()")  # which moves no focus by itself
    visitor.status("This part is edited.")  # the last that is done
    assert page.evaluate("document.activeElement.closest('#slider-smile') !== null")


def test_a_finger_moves_the_box(visit, scene):
    visitor = visit(**PHONE)
    page = visitor.page
    visitor.upload(scene)
    visitor.status("No face was found")
    edge = page.locator("#stage .box").bounding_box()
    x, y = edge["x"] + edge["width"] / 2, edge["y"] + edge["height"] / 2
    session = page.context.new_cdp_session(page)
    for kind, at in (("touchStart", x), ("touchMove", x - 10), ("touchMove", x - 30)):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": at, "y": y}]})
        page.wait_for_timeout(16)
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    left, top, width, _ = placed(page)
    assert left == pytest.approx(100 - 30 * 400 / edge["width"], abs=3)
    assert (top, width) == pytest.approx((0, 400), abs=1)


def test_wide_pictures_are_shown_without_their_padding_and_one_key_takes_the_first_box(
    visit, scene, tmp_path
):
    channels = {4: 32, 8: 32, 16: 16, 32: 16, 64: 8}
    torch.manual_seed(0)
    config = GeneratorConfig(img_resolution=64, z_dim=64, w_dim=64, mapping_layers=2, channels=channels)
    generator = Generator(config)
    generator.mapping.w_avg.copy_(generator.mapping(torch.randn(256, 64)).mean(0).detach())
    folder = tmp_path / "cars"
    save_bundle(
        folder, generator, name="cars", crop_config=CropConfig(), licence="own", content=Content(height=0.75)
    )
    visitor = visit()
    page = visitor.page
    page.locator("#model button").first.click()
    page.locator("#model-name textarea, #model-name input").fill(str(folder))
    page.locator("#open-model").click()
    visitor.status("Opened cars.")
    visitor.upload(scene)
    visitor.status("Drag the box around")
    page.locator("#stage .box").wait_for()
    _, _, width, height = placed(page)
    assert width / height == pytest.approx(4 / 3, abs=0.02)
    assert height == pytest.approx(400, abs=1)
    page.keyboard.press("ArrowRight")
    take(visitor, lambda: page.keyboard.press("Enter"))
    assert pixels(visitor.crop()).shape == (48, 64, 3)
    before = page.locator("#stage .before").bounding_box()
    assert before["width"] / before["height"] == pytest.approx(4 / 3, abs=0.05)
    assert page.locator("#stage .thing").text_content() == "picture"
    page.locator("#model-name textarea, #model-name input").fill("bundled")
    page.locator("#open-model").click()
    visitor.status("Opened faces128.")
    assert page.locator("#stage .thing").text_content() == "face"
