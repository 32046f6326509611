"""The local page in a real browser (Chromium): dropping, clicking, editing, links, keys, sizes."""

from __future__ import annotations

import json
import threading
import time

import pytest

from regard.serving.networks import Networks, named
from regard.serving.running import bound, server
from regard.serving.starting import studio


@pytest.fixture(scope="module")
def address():
    """The address of a running server with the shipped network."""
    with bound(0) as ours:
        ours.listen()
        running, found = server(studio(Networks(named())), ours)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [ours]}, daemon=True)
        thread.start()
        yield found
        running.should_exit = True
        thread.join(30)


def until(browser, expression, seconds=60):
    end = time.monotonic() + seconds
    while not (found := browser(f"(found => found instanceof Node || found)({expression})")):
        assert time.monotonic() < end, f"{expression} stays {found!r}: {browser('document.body.innerText')[:500]}"
        time.sleep(0.05)
    return found


def opened(browser, address, **options):
    browser.send("Page.navigate", url="about:blank")  # another fragment alone would load nothing
    browser.open(address, **options)
    until(browser, "document.querySelector('.prediction li') && document.querySelectorAll('.gallery li').length")


SETTLED = "!document.querySelector('.picture.busy')"
FIGURES = "[...document.querySelectorAll('.prediction li')].map(each => each.innerText).join()"


def press(browser, text):
    browser(
        f"[...document.querySelectorAll('button')].find(each => each.innerText.trim() === {json.dumps(text)}).click()"
    )


def checked(browser, address):
    """No error, no message of the console, no request to anywhere else."""
    problems = browser.told("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
    assert not problems, problems
    urls = {each["request"]["url"] for each in browser.told("Network.requestWillBeSent")}
    origin = address.partition("#")[0]
    assert urls and all(url.startswith((origin, "blob:")) for url in urls), urls
    assert not any("token" in url.partition("#")[0] for url in urls), "the token stands in no address that is sent"


DROP = """
(async () => {
  const canvas = new OffscreenCanvas(67, 53), pen = canvas.getContext("2d");
  pen.fillStyle = "#888"; pen.fillRect(0, 0, 67, 53); pen.fillStyle = "#fff"; pen.fillRect(29, 13, 7, 31);
  const given = new DataTransfer();
  given.items.add(new File([await canvas.convertToBlob()], "bar.png", { type: "image/png" }));
  document.dispatchEvent(new DragEvent("drop", { dataTransfer: given, bubbles: true, cancelable: true }));
})()
"""


def point(browser, x, y, *, kind="mousePressed", buttons=1):
    box = browser("(b => [b.x, b.y, b.width, b.height])(document.getElementById('stage').getBoundingClientRect())")
    browser.send(
        "Input.dispatchMouseEvent", type=kind, x=box[0] + x * box[2], y=box[1] + y * box[3], button="left",
        buttons=buttons, clickCount=1,
    )  # fmt: skip


@pytest.mark.slow
def test_drop_click_edit_and_the_prediction_changes(browser, address):
    opened(browser, address)
    browser(DROP)
    until(browser, "[...document.querySelectorAll('.photo.on')].some(each => each.title.startsWith('bar.png'))")
    until(browser, SETTLED)
    before = browser(FIGURES)
    press(browser, "Even")
    until(browser, f"document.querySelector('.prediction b') && {FIGURES} !== {json.dumps(before)}")
    until(browser, SETTLED)
    assert browser("document.querySelectorAll('.listed li').length") == 1
    press(browser, "Difference")
    press(browser, "Undo")
    until(browser, f"{FIGURES} === {json.dumps(before)} && {SETTLED}")
    checked(browser, address)


@pytest.mark.slow
def test_a_mask_is_painted_and_a_link_restores_it(browser, address):
    opened(browser, address)
    press(browser, "Paint a mask")
    point(browser, 0.1, 0.1)
    point(browser, 0.7, 0.1, kind="mouseMoved")
    point(browser, 0.7, 0.1, kind="mouseReleased", buttons=0)
    places = "document.querySelector('.listed b')?.innerText"
    told = until(browser, places)
    assert told.endswith("of 36 places off") and int(told.split()[0]) >= 2
    until(browser, f"document.querySelector('.prediction b') && {SETTLED}")
    figures, link = browser(FIGURES), browser("location.href")
    checked(browser, address)
    opened(browser, link)
    assert until(browser, places) == told
    until(browser, f"{FIGURES} === {json.dumps(figures)}")
    checked(browser, address)


@pytest.mark.slow
def test_the_curve_is_drawn_as_it_comes(browser, address):
    opened(browser, address)
    browser("document.querySelector('.curve input').click()")
    until(browser, "document.querySelectorAll('.curve .key li').length === 4 && document.querySelector('.plot canvas')")
    press(browser, "Insertion")
    until(browser, "document.querySelector('.curve [aria-checked=true]').innerText === 'Insertion'")
    press(browser, "Examine")
    until(browser, "!document.querySelector('.findings button').disabled")
    assert not browser("document.querySelector('p.error')")
    checked(browser, address)


@pytest.mark.slow
def test_keys_choose_maps_and_undo(browser, address):
    opened(browser, address)
    chosen = "document.querySelector('.reading h1').innerText"
    assert browser(chosen) == "aggregate.gates.1/spatial"
    press(browser, "Even")
    until(browser, "document.querySelector('.listed li')")
    for key, name in (("[", "aggregate.gates.0/spatial"), ("]", "aggregate.gates.1/spatial")):
        browser(f"document.body.dispatchEvent(new KeyboardEvent('keydown', {{ key: '{key}', bubbles: true }}))")
        until(browser, f"{chosen} === '{name}'")
    browser("document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 'u', bubbles: true }))")
    until(browser, "!document.querySelector('.listed li')")


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1440, "dark"), (1000, "light"), (390, "dark")])
def test_nothing_sticks_out_and_everything_has_a_name(browser, address, width, scheme):
    opened(browser, address, width=width, scheme=scheme)
    assert browser("document.documentElement.scrollWidth") <= width
    nameless = browser("""
        [...document.querySelectorAll('button, input, select, canvas[tabindex], [role=img]')]
          .filter(each => !each.hidden && !(each.innerText || '').trim() && !each.getAttribute('aria-label'))
          .filter(each => !each.title && !each.closest('label'))
          .map(each => each.outerHTML.slice(0, 90))
    """)
    assert nameless == []
    ground = browser("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
    assert (max(ground) < 60) == (scheme == "dark")


def test_without_the_token_the_page_says_what_to_do(browser, address):
    browser.send("Page.navigate", url="about:blank")
    browser.open(address.partition("#")[0])
    until(browser, "document.querySelector('.locked')")
    browser(
        f"document.querySelector('.locked input').value = {json.dumps(address)}; "
        "document.querySelector('.locked button').click()"
    )
    until(browser, "document.querySelector('.prediction li')")
