"""The page for everyone: small screens, fingers, keys, help; and edits that come and go."""

import base64
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from tests.helpers.browser_visitor import CHROMIUM, wait_until
from tests.helpers.running_app import ASTRONAUT

pytestmark = [
    pytest.mark.browser,
    pytest.mark.weights,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no /usr/bin/chromium on this machine"),
]

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
LANDSCAPE = {"viewport": {"width": 844, "height": 390}, "has_touch": True, "is_mobile": True}
ZOOMED = {"viewport": {"width": 640, "height": 360}}  # 1280 x 720 at 200 %
DROP = """([name, type, size, text]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([text ?? new Uint8Array(size)], name, { type }));
  const init = { dataTransfer: transfer, bubbles: true, cancelable: true };
  const say = (kind) => document.body.dispatchEvent(new DragEvent(kind, init));
  ["dragenter", "dragover", "drop"].forEach(say);
}"""


def finger(page, x, y, dx, dy):
    """Swipe as a touch screen does, so that the browser may scroll."""
    session = page.context.new_cdp_session(page)
    steps = 12
    for step in range(steps + 1):
        kind = "touchStart" if step == 0 else "touchMove"
        point = {"x": x + dx * step / steps, "y": y + dy * step / steps}
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        page.wait_for_timeout(16)
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


@pytest.mark.parametrize("screen", [PHONE, LANDSCAPE, ZOOMED])
def test_the_photo_stays_in_view_while_sliders_are_scrolled(visit, screen):
    visitor = visit(**screen)
    visitor.upload(ASTRONAUT)
    visitor.status("Found")
    page = visitor.page
    assert page.evaluate("document.documentElement.scrollWidth") <= screen["viewport"]["width"]
    for name in ("smile", "contrast"):
        page.locator(f"#slider-{name}").evaluate("it => it.scrollIntoView({ block: 'end' })")
        page.wait_for_timeout(100)
        view = page.locator("#stage .view").bounding_box()
        slider = page.locator(f"#slider-{name} input[type=range]").bounding_box()
        height = screen["viewport"]["height"]
        assert view["y"] + view["height"] > 60
        assert view["y"] < height - 60
        assert 0 <= slider["y"] < height
        beside = slider["x"] >= view["x"] + view["width"]
        assert beside or slider["y"] >= view["y"] + view["height"] - 1


def test_a_finger_that_scrolls_past_a_slider_edits_nothing_and_one_that_goes_sideways_does(visit):
    visitor = visit(**PHONE)
    page = visitor.page
    page.locator("#slider-age").evaluate("it => it.scrollIntoView({ block: 'center' })")
    box = page.locator("#slider-age input[type=range]").bounding_box()
    x, y = box["x"] + 0.8 * box["width"], box["y"] + box["height"] / 2
    before = page.evaluate("scrollY")
    finger(page, x, y, 4, -160)
    wait_until(lambda: page.evaluate("scrollY") > before + 50)
    assert not page.evaluate("facePump.strengths.age")
    page.locator("#slider-age").evaluate("it => it.scrollIntoView({ block: 'center' })")
    box = page.locator("#slider-age input[type=range]").bounding_box()
    finger(page, box["x"] + 0.3 * box["width"], box["y"] + box["height"] / 2, 0.25 * box["width"], 2)
    page.wait_for_function("facePump.strengths.age > 3 && !facePump.busy && !facePump.dirty")
    strength = page.evaluate("facePump.strengths.age")
    low, high = (float(visitor.range("age").get_attribute(end)) for end in ("min", "max"))
    assert strength == pytest.approx(0.25 * (high - low), abs=1.5)  # as far as the finger went, no jump
    assert visitor.shown() == visitor.ask_directly({"age": strength})


def test_what_a_finger_is_to_meet_is_large_enough(visit):
    visitor = visit(**PHONE)
    small = """[...document.querySelectorAll(
        "#top button, #stage button, #stage select, #stage a, .edit-slider button, #reset-all, #optimise, " +
        ".edit-slider input[type=number]")]
      .filter((it) => it.checkVisibility() && it.getBoundingClientRect().width)
      .map((it) => [it.className, it.getBoundingClientRect()])
      .filter(([, box]) => Math.min(box.width, box.height) < 43.5)
      .map(([name, box]) => `${name} ${box.width} x ${box.height}`)"""
    assert visitor.page.evaluate(small) == []


def test_the_first_screen_of_a_small_desk_holds_all_that_is_needed(visit):
    visitor = visit(viewport={"width": 1280, "height": 720})
    visitor.upload(ASTRONAUT)
    visitor.status("Found")
    needed = ("#open-photo", "#source .camera", "#examples", "#status", "#stage .view", "#stage .save")
    more = ("#stage .compare", "#stage .space >> nth=2", "#slider-smile", "#slider-brows")
    for part in (*needed, *more):
        box = visitor.page.locator(part).first.bounding_box()
        assert box["y"] >= 0, part
        assert box["y"] + box["height"] <= 720, part
    view = visitor.page.locator("#stage canvas.edited").bounding_box()
    assert view["height"] > 400


@pytest.mark.parametrize(
    "look",
    [{}, {"color_scheme": "dark"}, {"forced_colors": "active"}, PHONE],
    ids=["light", "dark", "forced", "phone"],
)
def test_nothing_is_in_the_way_of_those_who_see_or_hear_it_otherwise(visit, look):
    module = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    visitor = visit(**look)
    visitor.upload(ASTRONAUT)
    visitor.status("Found")
    for panel in ("own-edits", "batch", "model"):
        visitor.page.locator(f"#{panel} > button").click()
    found = [module.Axe().run(visitor.page)]
    visitor.page.keyboard.press("?")
    found.append(module.Axe().run(visitor.page))
    serious = [
        (problem["id"], problem["nodes"][0]["html"])
        for each in found
        for problem in each.response["violations"]
        if problem["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_sliders_are_seen_in_forced_colours(visit):
    visitor = visit(forced_colors="active")
    picture = visitor.page.locator("#slider-smile input[type=range]").screenshot()
    with Image.open(io.BytesIO(picture)) as image:
        low, high = image.convert("L").getextrema()
    assert high - low > 100


def test_a_photo_can_be_dropped_and_pasted_anywhere(visit):
    visitor = visit()
    page = visitor.page
    page.evaluate(DROP, ["notes.txt", "text/plain", 0, "no picture"])
    assert "notes.txt" in visitor.status("⚠")
    page.evaluate(DROP, ["huge.jpg", "image/jpeg", 31 * 2**20, None])
    assert "at most 30 MB" in visitor.status("huge.jpg has 31 MB")
    page.evaluate("""() => document.body.dispatchEvent(new ClipboardEvent("paste", { bubbles: true }))""")
    visitor.status("The clipboard holds no picture")
    visitor.upload(ASTRONAUT)
    visitor.status("Found")


def test_a_camera_that_may_not_be_used_says_so(visit):
    visitor = visit()
    page = visitor.page
    for error, words in (("NotAllowedError", "beside the address"), ("NotFoundError", "no camera on this")):
        page.evaluate(
            """(name) => {
              const refuse = async () => { throw new DOMException("no", name); };
              navigator.mediaDevices.getUserMedia = refuse;
            }""",
            error,
        )
        page.locator("#source .camera").click()
        visitor.status(words)


def test_edits_are_undone_redone_and_gone_back_to(visit):
    visitor = visit()
    page = visitor.page
    plain = visitor.canvas()
    smile = visitor.to_end()
    page.wait_for_selector("#stage .history button >> nth=1")
    smiling = visitor.canvas()
    age = visitor.to_end("age", low=True)
    page.wait_for_selector("#stage .history button >> nth=2")
    page.keyboard.press("Control+z")
    visitor.settle(0, "age")
    assert visitor.canvas() == smiling
    assert visitor.range("age").input_value() == "0"  # the slider goes along
    page.keyboard.press("Control+z")
    visitor.settle(0)
    assert visitor.canvas() == plain
    assert page.locator("#stage .undo").is_disabled()
    page.keyboard.press("Control+Shift+z")
    visitor.settle(smile)
    page.locator("#stage .redo").click()
    visitor.settle(age, "age")
    page.locator("#stage .history button").first.click()
    visitor.settle(0)
    assert visitor.canvas() == plain


def test_edits_that_stay_for_the_next_photo_say_so_and_go_at_one_click(visit):
    visitor = visit()
    visitor.range().focus()
    visitor.page.keyboard.press("ArrowRight")
    visitor.settle(0.05)
    assert not visitor.page.locator("#stage .kept").is_visible()
    visitor.upload(ASTRONAUT)
    visitor.status("Found")
    kept = visitor.page.locator("#stage .kept")
    kept.wait_for()
    assert "One edit stays" in kept.text_content()
    visitor.page.locator("#stage .drop-kept").click()
    visitor.settle(0)
    assert not kept.is_visible()
    assert visitor.range().input_value() == "0"


def test_an_edit_is_saved_copied_and_repeated_bit_for_bit(visit, tmp_path):
    visitor = visit(permissions=["clipboard-read", "clipboard-write"])
    page = visitor.page
    visitor.upload(ASTRONAUT)
    visitor.status("Found")
    for name, key in (("smile", "End"), ("age", "Home")):
        visitor.range(name).focus()
        page.keyboard.press(key)
        visitor.settle(float(visitor.range(name).get_attribute("max" if key == "End" else "min")), name)
    picture = visitor.canvas()
    page.locator("#stage .recipes").click()
    with page.expect_download() as download:
        page.locator("#stage .save-edit").click()
    assert download.value.suggested_filename == "astronaut-edit.json"
    file = tmp_path / "edit.json"
    download.value.save_as(file)
    told = json.loads(file.read_text())
    assert set(told["faces"]["1"]["strengths"]) == {"smile", "age"}
    page.locator("#stage .copy-command").click()
    page.locator("#stage .recipe .note", has_text="Copied").wait_for()
    command = page.evaluate("navigator.clipboard.readText()")
    assert command.startswith("python -m editor astronaut.jpg --face 1 --set ")
    assert command.endswith("--space f --out astronaut-edited.jpg")

    other = visit()
    other.upload(ASTRONAUT)
    other.status("Found")
    other.page.locator("#stage .recipes").click()
    (tmp_path / "none.json").write_text("{}")
    other.page.set_input_files("#stage .edit-file", tmp_path / "none.json")
    other.page.locator("#stage .recipe .note", has_text="must be a file that the app saved").wait_for()
    other.page.set_input_files("#stage .edit-file", file)
    other.settle(float(other.range().get_attribute("max")))
    wait_until(lambda: other.canvas() == picture)


def test_presets_are_kept_in_the_browser_and_surprises_can_be_undone(visit):
    visitor = visit()
    page = visitor.page
    red = visitor.to_end("lips")
    page.locator("#stage .recipes").click()
    page.locator("#stage .preset-name").fill("Red")
    page.locator("#stage .keep").click()
    page.keyboard.press("Escape")
    page.locator("#stage .random").click()
    page.wait_for_function("Object.values(facePump.strengths).filter(Boolean).length === 3")
    page.reload()
    page.wait_for_selector('#stage .stage[data-ready="true"]')
    page.locator("#stage .recipes").click()
    assert page.locator("#stage .presets option").all_text_contents() == ["Red"]
    page.locator("#stage .use").click()
    visitor.settle(red, "lips")
    assert visitor.range("lips").input_value() == f"{red:g}"


def test_a_reload_brings_the_photo_and_its_edits_back(visit):
    visitor = visit()
    page = visitor.page
    visitor.upload(ASTRONAUT)
    visitor.status("Found")
    smile = visitor.to_end()
    page.locator("#stage .space input").first.check()
    visitor.settle(smile)
    token, picture = page.evaluate("facePump.token"), visitor.canvas()
    page.reload()
    visitor.status("as they were before the page was loaded again")
    visitor.settle(smile)
    assert page.evaluate("facePump.token") == token
    wait_until(lambda: visitor.canvas() == picture)
    wait_until(lambda: visitor.range().input_value() == f"{smile:g}")
    assert page.locator("#stage .space input").first.is_checked()


def test_an_example_that_is_clicked_while_a_photo_is_sent_wins(visit):
    visitor = visit()
    page = visitor.page
    page.evaluate(
        """() => {
          const ask = window.fetch;
          window.fetch = async (address, ...rest) => {
            if (!String(address).includes("gradio_api/upload")) return ask(address, ...rest);
            await new Promise((done) => setTimeout(done, 2500));
            const reply = await ask(address, ...rest);
            window.photoWasSent = true;
            return reply;
          };
        }"""
    )
    visitor.upload(ASTRONAUT)
    page.locator("#examples button").nth(3).click()
    visitor.status("Invented face 3")
    assert not page.evaluate("window.photoWasSent")
    version = page.evaluate("facePump.version")
    page.wait_for_function("window.photoWasSent")
    page.wait_for_timeout(2000)
    assert page.evaluate("facePump.version") == version
    assert "Invented face 3" in page.locator("#status p").text_content()


def test_what_the_browser_would_save_without_a_mark_is_not_offered(visit):
    visitor = visit()
    page = visitor.page
    page.locator("#stage .view").click(button="right")
    visitor.status("says that it was edited")
    visitor.inspected()
    source = page.locator("#stage .space img").first.get_attribute("src")
    assert b"drawn by a generative model" in base64.b64decode(source.partition(",")[2])[:200]


def test_help_is_one_key_away_and_explains_the_terms(visit):
    page = visit().page
    page.keyboard.press("?")
    sheet = page.locator("#stage .sheet-of-help")
    assert sheet.is_visible()
    page.keyboard.press("Escape")
    assert not sheet.is_visible()
    for asked, words in (("spaces", "PSNR"), ("fit", "model learned from"), ("optimise", "step by step")):
        page.locator(f'[data-help="{asked}"]').first.click()
        assert words in page.locator(f"#help-{asked}.asked").text_content()
        page.locator("#stage .sheet-of-help .close").click()


def test_the_page_has_its_own_name_and_says_where_it_cannot_be_reached(visit):
    visitor = visit()
    page = visitor.page
    assert page.title() == "Live face editor"
    assert page.evaluate("document.querySelectorAll('meta[property=\"og:title\"]').length") == 1
    assert page.evaluate("(async () => (await (await fetch('./manifest.json')).json()).icons.length)()") >= 1
    page.evaluate("navigator.serviceWorker.ready")
    wait_until(lambda: page.evaluate("caches.keys()") == ["face-editor-offline"])
    visitor.context.set_offline(True)
    page.reload()
    assert "The server does not answer" in page.locator("h1").text_content()
    visitor.errors.clear()  # of requests that found no network


def test_without_javascript_the_page_says_that_it_needs_it(visit, chromium, url):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(url)
    assert "needs JavaScript" in page.locator("noscript, body").first.inner_text()
    context.close()


def test_an_edited_picture_becomes_the_base_of_further_edits(visit):
    visitor = visit()
    page = visitor.page
    page.locator("#stage .recipes").click()
    page.locator("#stage .rebase").click()
    page.wait_for_function(
        "document.querySelector('#stage .recipe .note').textContent.includes('no edit yet')"
    )
    page.keyboard.press("Escape")
    visitor.upload(str(ASTRONAUT))
    visitor.status("Found")
    visitor.to_end()
    version = page.evaluate("facePump.version")
    page.locator("#stage .recipes").click()
    page.locator("#stage .rebase").click()
    page.wait_for_function("version => facePump.version > version", arg=version)
    page.wait_for_function("!facePump.busy && facePump.shown === null")
    assert visitor.range().input_value() == "0"
    smiling = visitor.canvas()
    visitor.to_end("mouth", low=True)
    assert visitor.canvas() != smiling
    with page.expect_download() as download:
        page.locator("#stage .save").click()
    assert download.value.suggested_filename.endswith("-edited.jpg")
    saved = Path(download.value.path()).read_bytes()
    assert b"smile" in saved
    assert b"mouth" in saved


@pytest.mark.parametrize("width", [390, 700, 844, 1280])
def test_no_words_run_over_their_places(visit, width):
    visitor = visit(viewport={"width": width, "height": 900})
    visitor.upload(str(ASTRONAUT))
    visitor.status("Found")
    visitor.inspected()
    over = visitor.page.evaluate(
        """() => [...document.querySelectorAll(
          "#stage .space, #stage .space *, .edit-slider, .edit-slider label *, #top *"
        )]
          .filter((each) => each.clientWidth && each.scrollWidth > each.clientWidth + 1)
          .filter((each) => getComputedStyle(each).display !== "inline")
          .map((each) => `${each.tagName} ${each.className}: ${each.textContent.slice(0, 40)}`)"""
    )
    assert over == []
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= width


def test_an_error_comes_into_view_on_a_phone(visit, tmp_path):
    visitor = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = visitor.page
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_function("document.querySelector('#status').getBoundingClientRect().bottom < 0")
    (tmp_path / "notes.txt").write_text("This is a text file.")
    visitor.upload(tmp_path / "notes.txt")
    visitor.status("is text; allowed are JPEG")
    page.wait_for_function(
        """() => {
          const { top, bottom } = document.querySelector("#status p").getBoundingClientRect();
          return top >= 0 && bottom <= innerHeight;
        }"""
    )
