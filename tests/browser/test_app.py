"""The real app in headless Chromium; waits are for conditions, so that a slow machine passes too."""

import base64
import io
import json
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan2 import CropConfig, Generator, GeneratorConfig
from stylegan2.bundle.folder import save_bundle
from stylegan2.bundle.opening import load_bundle
from tests.helpers.browser_visitor import CHROMIUM, PATIENCE, Visitor, files_in, wait_until
from tests.helpers.pictures import two_faces
from tests.helpers.running_app import ASTRONAUT, free_port, running_app

SLOW_LINE = """(delay) => {
  const ask = window.fetch;
  window.fetch = async (address, ...rest) => {
    if (String(address).includes("queue/join")) await new Promise((done) => setTimeout(done, delay));
    return ask(address, ...rest);
  };
}"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.weights,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no /usr/bin/chromium on this machine"),
]


def test_a_photo_is_inverted_and_a_drag_edits_it_live(visit):
    visitor = visit()
    first = visitor.crop()
    visitor.upload(ASTRONAUT)
    visitor.status("Found, cropped and inverted")
    assert visitor.crop() != first
    before, canvas = visitor.shown(), visitor.canvas()
    assert before is None  # without an edit, the photo stands
    size = visitor.page.locator("#stage canvas.edited").evaluate("it => [it.width, it.height]")
    assert size == [512, 512]  # all of the photo

    visitor.range().scroll_into_view_if_needed()
    box = visitor.range().bounding_box()
    middle = box["y"] + box["height"] / 2
    visitor.page.mouse.move(box["x"] + box["width"] / 2, middle)
    visitor.page.mouse.down()
    for step in range(1, 41):
        visitor.page.mouse.move(box["x"] + box["width"] * (0.5 + 0.3 * step / 40), middle)
    visitor.page.mouse.up()

    strength = float(visitor.range().input_value())
    assert strength > 0.5
    after = visitor.settle(strength)
    assert after == visitor.ask_directly({"smile": strength})  # the newest value won
    assert visitor.canvas() != canvas
    assert visitor.page.evaluate("mostUnderWay") == 1
    assert "ms" in visitor.page.locator("#stage .timing").text_content()


@pytest.mark.skipif(load_bundle().refiners_path is None, reason="the bundled model has no refiners")
def test_the_space_switch_shows_and_edits_another_reconstruction(visit):
    visitor = visit()
    visitor.upload(ASTRONAUT)
    visitor.status("Found, cropped and inverted")
    visitor.inspected()
    spaces = visitor.page.locator("#stage .space input")
    assert [choice.input_value() for choice in spaces.all()] == ["w", "w+", "f"]
    assert spaces.nth(2).is_checked()
    assert all(
        "dB" in text and "ms" in text for text in visitor.page.locator("#stage .space").all_text_contents()
    )
    box = visitor.page.locator("#slider-smile input[type=number]")
    box.fill("1.05")
    box.press("Enter")
    edited = visitor.settle(1.05)
    spaces.nth(0).focus()
    visitor.page.keyboard.press("Space")
    plain = visitor.settle(1.05)
    assert plain != edited
    assert plain == visitor.ask_directly({"smile": 1.05})
    version = visitor.page.evaluate("facePump.version")
    visitor.upload(ASTRONAUT)  # the choice outlives the face
    visitor.page.wait_for_function(
        "(old) => facePump.version > old && facePump.space === 'w' && !facePump.busy && !facePump.dirty",
        arg=version,
    )
    assert spaces.nth(0).is_checked()


def test_keys_number_box_and_resets_update_the_picture(visit):
    visitor = visit()
    plain = visitor.shown()
    visitor.range().focus()
    visitor.page.keyboard.press("ArrowRight")
    assert visitor.settle(0.05) == visitor.ask_directly({"smile": 0.05})
    box = visitor.page.locator("#slider-smile input[type=number]")
    box.fill("1.05")
    box.press("Enter")
    shown = visitor.settle(1.05)
    assert shown == visitor.ask_directly({"smile": 1.05})
    end = float(visitor.range().get_attribute("max"))
    box.fill("99")  # becomes the end at once
    assert visitor.settle(end) == visitor.ask_directly({"smile": end}) != shown
    assert box.input_value() == f"{end:g}"
    box.fill("")
    assert visitor.settle(0) == plain
    box.fill("1")
    box.press("Enter")
    visitor.settle(1)
    visitor.page.locator("#slider-smile .reset-button").click()
    assert visitor.settle(0) == plain
    for name, step in (("smile", 0.05), ("age", 1)):  # age counts in years
        visitor.range(name).focus()
        visitor.page.keyboard.press("ArrowLeft")
        visitor.settle(-step, name)
    visitor.page.locator("#reset-all").click()
    visitor.settle(0, "age")
    assert visitor.settle(0) == plain
    assert visitor.range().input_value() == "0"


def test_the_slider_values_are_kept_for_the_next_face(visit):
    visitor = visit()
    visitor.range().focus()
    visitor.page.keyboard.press("End")
    strength = float(visitor.range().get_attribute("max"))
    last = visitor.settle(strength)
    visitor.page.locator("#examples button").nth(3).click()
    visitor.status("Invented face 3")
    visitor.page.wait_for_function(
        "(last) => !facePump.busy && facePump.shown && facePump.shown !== last", arg=last
    )
    assert visitor.settle(strength) == visitor.ask_directly({"smile": strength})


def test_the_compare_slider_moves_the_divider(visit):
    visitor = visit()
    wipe = visitor.page.locator("#stage .wipe")
    box = wipe.bounding_box()
    divider = visitor.page.locator("#stage .divider")
    before = divider.bounding_box()["x"]
    visitor.page.mouse.click(box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 2)
    after = divider.bounding_box()["x"]
    assert after - before == pytest.approx(0.3 * box["width"], abs=0.05 * box["width"])
    wipe.press("Home")
    assert divider.bounding_box()["x"] == pytest.approx(box["x"], abs=2)


def test_the_saved_picture_says_that_it_was_edited(visit):
    visitor = visit()
    visitor.range().focus()
    visitor.page.keyboard.press("ArrowRight")
    visitor.settle(0.05)
    with visitor.page.expect_download() as download:
        visitor.page.locator("#stage .save").click()
    assert download.value.suggested_filename == "edited.png"  # an invented face has no photo
    with Image.open(download.value.path()) as image:
        assert "smile +0.05" in image.info["Description"]


def test_the_whole_photo_is_saved_under_its_name(visit):
    visitor = visit()
    visitor.upload(ASTRONAUT)
    visitor.status("Found")
    visitor.to_end()
    with visitor.page.expect_download() as download:
        visitor.page.locator("#stage .save").click()
    assert download.value.suggested_filename == "astronaut-edited.jpg"
    with Image.open(download.value.path()) as image:
        assert image.size == (512, 512)
        found = np.asarray(image.convert("RGB"), int)
    before = np.asarray(Image.open(ASTRONAUT).convert("RGB"), int)
    assert np.abs(found - before)[70:180, 175:275].mean() > 2
    assert np.abs(found - before)[300:].mean() < 1


@pytest.fixture
def pair(tmp_path):
    """A photo of two faces, the second smaller."""
    pixels = two_faces(np.asarray(Image.open(ASTRONAUT).convert("RGB")))
    Image.fromarray(pixels).save(tmp_path / "pair.jpg", quality=95)
    return tmp_path / "pair.jpg"


def test_faces_are_chosen_by_their_boxes_and_keep_their_edits(visit, pair):
    visitor = visit()
    visitor.upload(pair)
    visitor.status("2 faces found")
    faces = visitor.page.locator("#stage .face")
    assert faces.all_text_contents() == ["1", "2"]
    assert faces.nth(0).get_attribute("aria-pressed") == "true"
    visitor.range().focus()
    visitor.page.keyboard.press("ArrowRight")
    first = visitor.settle(0.05)
    faces.nth(1).click()
    visitor.page.wait_for_function("facePump.face === 2 && !facePump.busy")
    visitor.page.wait_for_function("document.querySelector('#slider-smile input[type=range]').value === '0'")
    assert visitor.shown() is None
    visitor.to_end("age")
    assert visitor.shown() != first
    faces.nth(0).focus()  # by Tab and Enter
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_function("facePump.face === 1 && !facePump.busy")
    visitor.page.wait_for_function(
        "document.querySelector('#slider-smile input[type=range]').value === '0.05'"
    )
    assert visitor.page.evaluate("facePump.strengths.smile") == 0.05
    with visitor.page.expect_download() as download:
        visitor.page.locator("#stage .save").click()
    data = Path(download.value.path()).read_bytes()
    assert b"face 1 smile +0.05, face 2 age +" in data


def test_sliders_say_their_unit_and_what_else_they_change(visit):
    page = visit().page
    age = page.locator("#slider-age")
    assert "Age, years" in age.text_content()
    assert "younger ↔ older" in age.text_content()
    low, high = (
        int(page.locator("#slider-age input[type=range]").get_attribute(end)) for end in ("min", "max")
    )
    assert low <= -10
    assert high >= 10
    assert page.locator(".edit-slider", has_text="also: ").count() > 0
    assert page.locator(".edit-slider", has_text="degrees").count() == 2


def open_way(page, name):
    """Open one of the ways to an edit of one's own."""
    page.locator("#own-edits > button").click()
    page.locator("#own-edits .own-way > button", has_text=name).click()


def test_twenty_clicks_make_a_slider_that_is_saved_opened_and_reset(visit, tmp_path):
    visitor = visit()
    page = visitor.page
    visitor.range().focus()
    page.keyboard.press("ArrowRight")
    visitor.settle(0.05)
    open_way(page, "Rate faces")
    page.locator("#own-invent").click()
    faces = page.locator("#own-faces button")
    faces.nth(19).wait_for()
    for number in range(20):
        for _ in range(1 + number % 2):
            faces.nth(number).click()
    assert faces.nth(0).get_attribute("aria-label") == "face 1, more"
    assert faces.nth(1).get_attribute("aria-label") == "face 2, less"
    page.locator("#own-name input, #own-name textarea").fill("Sunny")
    page.locator("#own-rate").click()
    assert "a deviation changes" in visitor.status("Made “Sunny”")
    visitor.range("own-sunny").focus()
    page.keyboard.press("End")
    visitor.settle(float(visitor.range("own-sunny").get_attribute("max")), "own-sunny")
    assert page.evaluate("facePump.strengths.smile") == 0.05  # the others stay where they stood
    assert visitor.range().input_value() == "0.05"
    assert visitor.shown() is not None
    with page.expect_download() as download:
        page.locator(".own-file").click()
    file = tmp_path / download.value.suggested_filename
    assert file.name == "sunny.edit.safetensors"
    download.value.save_as(file)
    page.locator("#reset-own").click()
    visitor.settle(0, "own-sunny")
    friend = visit()
    open_way(friend.page, "Open a file")
    friend.page.set_input_files("#own-file input[type=file]", file)
    friend.status("Made “Sunny”")
    friend.range("own-sunny").wait_for()
    assert friend.page.locator("#slider-own-sunny").count() == 1


def test_a_place_of_the_face_is_pointed_at_by_click_or_keys(visit):
    visitor = visit()
    page = visitor.page
    open_way(page, "Point at a place")
    picture = page.locator("#own-place img")
    picture.wait_for()
    page.wait_for_function("document.querySelector('#own-place img').src.startsWith('data:image/jpeg')")
    assert picture.get_attribute("src") == visitor.crop()
    picture.click(position={"x": 60, "y": 90})
    picture.press("ArrowDown")
    page.locator("#own-name input, #own-name textarea").fill("Corner")
    page.locator("#own-point").click()
    visitor.status("Made “Corner”")
    visitor.range("own-corner").wait_for()


def test_without_clip_one_sentence_says_so(visit):
    page = visit().page
    open_way(page, "Say it")
    assert "start the app with --clip FOLDER" in page.locator("#own-no-clip").text_content()


def test_the_photo_zooms_moves_and_shows_the_original_while_held(visit):
    visitor = visit()
    visitor.upload(ASTRONAUT)
    visitor.status("Found")
    visitor.to_end()
    view = visitor.page.locator("#stage .view")
    width = "() => document.querySelector('#stage canvas.edited').getBoundingClientRect().width"
    before = visitor.page.evaluate(width)
    view.focus()
    for _ in range(3):
        visitor.page.keyboard.press("+")
    assert visitor.page.evaluate(width) > 1.5 * before
    visitor.page.keyboard.press("0")
    assert visitor.page.evaluate(width) == pytest.approx(before, rel=0.01)
    visitor.page.locator("#stage .zoom-face").click()
    close = visitor.page.evaluate(width)
    assert close > 1.8 * before  # the face fills the pane
    visitor.page.locator("#stage .zoom-all").click()
    view.focus()
    edited = visitor.canvas()
    visitor.page.keyboard.down("o")
    assert visitor.page.locator("#stage .badge").is_visible()
    assert visitor.canvas() != edited
    visitor.page.keyboard.up("o")
    assert visitor.canvas() == edited
    box = view.bounding_box()
    visitor.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    visitor.page.mouse.down()
    assert visitor.canvas() != edited
    visitor.page.mouse.up()
    assert visitor.canvas() == edited


def test_any_two_aligned_pictures_are_compared(visit):
    visitor = visit()
    visitor.upload(ASTRONAUT)
    visitor.status("Found")
    visitor.inspected()
    left, right = (visitor.page.locator(f"#stage select.{side}") for side in ("left", "right"))
    assert left.locator("option").all_text_contents() == ["Cropped photo", "W", "W+", "W+ & F", "Edited"]
    assert (left.input_value(), right.input_value()) == ("input", "edited")
    shown = {visitor.canvas("before")}
    for space in ("w", "w+", "f"):
        left.select_option(space)
        shown.add(visitor.canvas("before"))
    assert len(shown) == 4
    plain = visitor.canvas("after")
    visitor.to_end()
    assert visitor.canvas("after") != plain


def test_a_bad_upload_shows_a_message_and_keeps_the_picture(visit, tmp_path):
    visitor = visit()
    visitor.upload(ASTRONAUT)
    visitor.status("Found")
    kept = visitor.crop(), visitor.canvas()
    name = "<b>not a picture {{x}} `${y}`.png"
    (tmp_path / name).write_text("This is a text file.")
    visitor.upload(tmp_path / name)
    line = visitor.status("is text; allowed are JPEG")
    assert "⚠" in line
    assert "not a picture" in line
    assert visitor.page.locator("#status b").count() == 0  # a file name is never read as HTML
    assert visitor.page.get_by_text("is text; allowed are JPEG").count() == 1
    assert (visitor.crop(), visitor.canvas()) == kept


def test_a_second_visitor_sees_nothing_of_the_first(visit):
    first, second = visit(), visit()
    start = second.crop()
    first.upload(ASTRONAUT)
    first.status("Found")
    mine = first.crop()
    second.range().focus()
    second.page.keyboard.press("ArrowRight")
    second.settle(0.05)
    assert second.crop() == start != mine
    assert first.page.evaluate("facePump.token") not in second.page.content()
    second.page.reload()
    second.page.wait_for_selector('#stage .stage[data-ready="true"]')
    assert second.crop() == start


def test_closing_the_page_deletes_the_photo(visit, uploads):
    visitor = visit()
    wait_until(lambda: not files_in(uploads))  # of the tests before
    visitor.upload(ASTRONAUT)
    visitor.status("Found")
    assert files_in(uploads) == ["astronaut.jpg"]
    visitor.page.close()
    wait_until(lambda: not files_in(uploads))


def test_a_lost_answer_is_asked_for_again(visit):
    visitor = visit()
    visitor.inspected()
    visitor.page.route("**/component_server/**", lambda route: route.abort(), times=1)
    visitor.range().focus()
    visitor.page.keyboard.press("ArrowRight")
    assert visitor.settle(0.05) == visitor.ask_directly({"smile": 0.05})
    assert [error for error in visitor.errors if "ERR_FAILED" not in error] == []
    visitor.errors.clear()


def test_an_optimisation_ends_at_stop_and_with_another_photo(visit):
    visitor = visit()
    stop = visitor.page.locator("#stop")
    assert stop.is_disabled()
    visitor.page.locator("#optimise").click()
    visitor.status("Optimising W")
    stop.click()
    visitor.status("after")
    assert "became" in visitor.page.locator("#status p").text_content()
    visitor.page.wait_for_selector("#stop:disabled")
    visitor.page.locator("#optimise").click()
    visitor.status("Optimising W")
    visitor.page.locator("#examples button").first.click()  # another photo wins
    visitor.page.wait_for_selector("#stop:disabled")
    visitor.status("Found")


def test_a_webcam_still_without_a_face_says_so_offers_a_box_and_is_not_mirrored(visit, uploads):
    wait_until(lambda: not files_in(uploads))  # of the tests before
    visitor = visit(permissions=["camera"])
    visitor.page.locator("#source .camera").click()
    visitor.page.wait_for_function("document.querySelector('#source video')?.readyState === 4")
    shown = visitor.page.locator("#source video").evaluate("video => getComputedStyle(video).transform")
    assert shown == "matrix(-1, 0, 0, 1, 0, 0)"  # as in a mirror
    visitor.page.locator("#source .take").click()
    assert "Drag a box" in visitor.status("No face was found")
    visitor.page.locator("#stage .box").wait_for()
    (taken,) = [path for path in uploads.rglob("*") if path.suffix in (".png", ".jpg", ".webp")]
    left, right = np.hsplit(np.asarray(Image.open(taken).convert("L"), np.float64), 2)
    assert left.mean() + 100 < right.mean()  # and the photo is as others see it


@pytest.mark.parametrize("delay", [0, 2000])
def test_a_photo_can_be_pasted(visit, delay):
    visitor = visit(permissions=["clipboard-read", "clipboard-write"])
    visitor.page.evaluate(SLOW_LINE, delay)
    buffer = io.BytesIO()
    Image.open(ASTRONAUT).save(buffer, "PNG")
    visitor.copy(buffer.getvalue())
    visitor.page.locator("#source .paste").click()
    visitor.status("Found, cropped and inverted")


def test_everything_has_a_name_for_those_who_do_not_see_it(visit):
    visitor = visit()
    nameless = """[...document.querySelectorAll("button, input, img")]
      .filter((it) => it.offsetParent)
      .filter((it) => !(it.ariaLabel || it.title || it.alt || it.innerText?.trim() || it.labels?.length))
      .map((it) => it.outerHTML)"""
    assert visitor.page.evaluate(nameless) == []


def test_programs_edit_over_plain_http(url, uploads):
    before = files_in(uploads)
    photo = base64.b64encode(ASTRONAUT.read_bytes()).decode()
    request = urllib.request.Request(
        f"{url}/gradio_api/run/edit",
        json.dumps({"data": [photo, {"smile": 1}]}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
        (pictures,) = json.load(reply)["data"]
    with Image.open(io.BytesIO(base64.b64decode(pictures["edited"].partition(",")[2]))) as image:
        assert "smile +1" in image.info["Description"]
    with Image.open(io.BytesIO(base64.b64decode(pictures["photo"].partition(",")[2]))) as image:
        assert (image.format, image.size) == ("JPEG", (512, 512))
    assert set(files_in(uploads)) <= set(before)  # nothing was written down


def test_another_model_brings_its_own_sliders_and_the_bundled_one_comes_back(visit, tmp_path):
    channels = {4: 32, 8: 32, 16: 16, 32: 16, 64: 8}
    config = GeneratorConfig(img_resolution=64, z_dim=64, w_dim=64, mapping_layers=2, channels=channels)
    generator = Generator(config)
    generator.mapping.w_avg.copy_(generator.mapping(torch.randn(256, 64)).mean(0).detach())
    folder = tmp_path / "toy"
    digest = save_bundle(
        folder, generator, name="toy", crop_config=CropConfig(scale=0.66, center=0.48), licence="own"
    )
    visitor = visit()
    page = visitor.page
    visitor.range().focus()
    page.keyboard.press("ArrowRight")
    visitor.settle(0.05)  # a strength of an edit that the next model does not have
    page.locator("#model button").first.click()

    def open_model(name):
        page.locator("#model-name textarea, #model-name input").fill(str(name))
        page.locator("#open-model").click()

    open_model("./nowhere")
    assert "no such file or folder" in visitor.status("⚠")
    open_model(folder)
    visitor.status("Opened toy.")
    card = page.locator("#model-card p").text_content()
    assert digest in card
    assert "fitted by optimisation" in card
    page.locator("#slider-component-1 input[type=range]").wait_for()
    assert page.locator("#slider-smile").count() == 0
    before = visitor.shown()
    visitor.range("component-1").focus()
    page.keyboard.press("End")
    assert visitor.settle(3, "component-1") == visitor.ask_directly({"component-1": 3}) != before
    page.locator("#steps input[type=number]").fill("10")
    visitor.upload(ASTRONAUT)
    visitor.status("Optimised after")
    open_model("bundled")
    visitor.status("Opened faces128.")
    visitor.range().wait_for()
    visitor.range().focus()
    page.keyboard.press("ArrowRight")
    assert visitor.settle(0.05) == visitor.ask_directly({"smile": 0.05})


def test_those_who_come_at_once_are_told_their_places_and_each_gets_an_answer(visit):
    note = """() => {
      const line = document.querySelector("#status p");
      window.said = [];
      new MutationObserver(() => window.said.push(line.textContent)).observe(line, { childList: true });
    }"""
    visitors = [visit() for _ in range(5)]
    for visitor in visitors:
        visitor.page.evaluate(note)
    for visitor in visitors:
        visitor.upload(ASTRONAUT)
    for visitor in visitors:
        visitor.status("Found, cropped and inverted")
    said = [visitor.page.evaluate("window.said") for visitor in visitors]
    places = [int(text.split()[1]) for texts in said for text in texts if "before you" in text]
    assert places
    assert set(places) <= {1, 2, 3, 4}
    for texts in said:
        mine = [int(text.split()[1]) for text in texts if "before you" in text]
        assert mine == sorted(mine, reverse=True)
        assert texts[-1] == "Found, cropped and inverted the face."


def test_many_photos_are_edited_as_the_sliders_stand_and_come_back_as_a_zip(visit, tmp_path, uploads):
    sent = tmp_path / "sent.zip"
    with zipfile.ZipFile(sent, "w") as archive:
        archive.write(ASTRONAUT, "folder/inside.jpg")
        archive.writestr("broken.png", b"no picture")
    visitor = visit()
    page, status = visitor.page, visitor.page.locator("#batch-status p")
    visitor.range().focus()
    page.keyboard.press("End")
    page.locator("#batch button").first.click()
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for name in ("one.jpg", "more/two.jpg"):
        (tmp_path / "photos" / name).write_bytes(ASTRONAUT.read_bytes())
    files = page.locator("#batch-files input[type=file]")
    files.nth(1).set_input_files(tmp_path / "photos")
    status.filter(has_text="Ready to be edited: 2.").wait_for()
    files.nth(0).set_input_files([ASTRONAUT, sent])
    status.filter(has_text="Ready to be edited: 3.").wait_for()
    page.locator("#batch-start").click()
    status.filter(has_text="Done: 2 edited, 1 failed.").wait_for()
    with page.expect_download() as download:
        page.locator("#batch-link a").click()
    with zipfile.ZipFile(download.value.path()) as results:
        assert results.namelist() == [ASTRONAUT.name, "inside.jpg", "errors.txt"]
        assert results.read("errors.txt").startswith(b"broken.png: ")
        with Image.open(io.BytesIO(results.read("inside.jpg"))) as image:
            assert image.size == (512, 512)
        assert b"smile +" in results.read("inside.jpg")
    assert "edited-photos.zip" in files_in(uploads)
    page.close()
    wait_until(lambda: "edited-photos.zip" not in files_in(uploads))


def test_models_are_chosen_by_key_from_a_list_or_by_the_names_of_their_cards(visit, tmp_path):
    channels = {4: 16, 8: 16, 16: 16, 32: 8}
    config = GeneratorConfig(img_resolution=32, z_dim=16, w_dim=16, mapping_layers=2, channels=channels)
    save_bundle(
        tmp_path / "folder",
        Generator(config),
        name="small",
        crop_config=CropConfig(scale=0.66, center=0.48),
        licence="own",
    )
    page = visit().page
    status = page.locator("#status p")
    page.locator("#model button").first.click()
    name, known = page.get_by_label("Another model"), page.get_by_label("Models here")
    card = page.locator("#model-card p")
    bundled = card.text_content().partition(":")[0]
    name.fill(" ")
    page.locator("#open-model").click()
    status.filter(has_text="No model was named").wait_for()
    name.fill(bundled)
    name.press("Enter")
    status.filter(has_text=f"{bundled} is open already.").wait_for()
    name.fill(str(tmp_path / "folder"))
    name.press("Enter")
    card.filter(has_text="small: 32 px").wait_for()
    known.focus()
    page.keyboard.press("ArrowDown")
    page.get_by_role("option").filter(has_text="small (recent)").wait_for()
    page.keyboard.type(bundled)
    page.keyboard.press("Enter")
    page.wait_for_function(
        "(name) => document.querySelector('#model-name textarea, #model-name input').value === name",
        arg=bundled,
    )
    name.press("Enter")
    card.filter(has_text=f"{bundled}: ").wait_for()
    name.fill("small")
    name.press("Enter")
    card.filter(has_text="small: 32 px").wait_for()
    name.fill("bundled")
    name.press("Enter")
    card.filter(has_text=f"{bundled}: ").wait_for()


def test_visitors_from_elsewhere_get_the_same_app_without_a_choice_of_models(chromium, tmp_path):
    with running_app(tmp_path / "uploads", tmp_path / "app.log", host="0.0.0.0") as address:
        visitor = Visitor(chromium, address)
        assert visitor.page.locator("#model").count() == 0
        assert "Open model" not in visitor.page.content()
        visitor.range().focus()
        visitor.page.keyboard.press("ArrowRight")
        assert visitor.settle(0.05) == visitor.ask_directly({"smile": 0.05})
        visitor.page.locator("#examples button").first.click()
        visitor.status("Found, cropped and inverted")
        assert visitor.errors == visitor.outside == []
        visitor.context.close()


def test_the_end_of_the_server_deletes_what_an_open_page_uploaded(chromium, tmp_path):
    uploads = tmp_path / "uploads"
    with running_app(uploads, tmp_path / "app.log") as address:
        visitor = Visitor(chromium, address)
        visitor.upload(ASTRONAUT)
        visitor.status("Found, cropped and inverted")
        visitor.page.locator("#steps input[type=number]").fill("200")
        visitor.page.locator("#optimise").click()
        visitor.status("Optimising")
        assert files_in(uploads)
    # `running_app` has seen that it ended well, in the middle of the work, with nothing left.
    visitor.context.close()


def test_a_page_begins_anew_when_the_server_was_started_again(chromium, tmp_path):
    port = free_port()
    with running_app(tmp_path / "one", tmp_path / "one.log", port=port) as address:
        visitor = Visitor(chromium, address)
    token = visitor.page.evaluate("facePump.token")
    visitor.range().focus()
    visitor.page.keyboard.press("ArrowRight")
    visitor.page.locator("#stage .timing", has_text="The server does not answer").wait_for()
    with running_app(tmp_path / "two", tmp_path / "two.log", port=port):
        visitor.page.wait_for_function(
            "(old) => window.facePump?.token && window.facePump.token !== old", arg=token
        )
        visitor.range().focus()
        visitor.page.keyboard.press("ArrowRight")
        assert visitor.settle(0.05) == visitor.ask_directly({"smile": 0.05})
        visitor.context.close()


def test_another_name_than_that_of_this_machine_is_refused(url):
    request = urllib.request.Request(url, headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request, timeout=PATIENCE)
    assert refusal.value.code == 421


def test_a_callers_mistake_is_in_no_log(url, visit, log):
    body = json.dumps({"data": ["c2VjcmV0IHBob3Rv"]}).encode()
    for path in ("run/edit", "call/edit"):
        request = urllib.request.Request(
            f"{url}/gradio_api/{path}", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
                event = json.load(reply)["event_id"]
            with urllib.request.urlopen(f"{url}/gradio_api/call/edit/{event}", timeout=PATIENCE) as reply:
                status, answer = reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            status, answer = error.code, error.read().decode()
        assert status == (422 if path == "run/edit" else 200)
        assert "c2VjcmV0IHBob3Rv" not in answer + log.read_text()
