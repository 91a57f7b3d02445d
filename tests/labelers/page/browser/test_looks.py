"""Readable contrast, names for screen readers, sizes for fingers; it fits a phone."""

from typing import Any

import pytest

# Contrast of each visible text with what is behind it (WCAG 2.2, 1.4.3). Backgrounds with
# transparency are mixed with those behind them.
CONTRASTS = """() => {
  const parse = (css) => {
    const [r, g, b, a = 1] = css.match(/[\\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const over = (top, below) => top.slice(0, 3).map((v, i) => v * top[3] + below[i] * (1 - top[3]));
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      layers.push(parse(getComputedStyle(at).backgroundColor));
      if (layers.at(-1)[3] === 1) break;
    }
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const light = (rgb) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = rgb.map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const open = document.querySelector("dialog[open]") ?? document.body;
  for (const element of open.querySelectorAll("*")) {
    const texts = [...element.childNodes].filter((node) => node.nodeType === 3);
    const hasText = texts.some((node) => node.textContent.trim());
    const isField = element.matches("input:not([type=checkbox]), textarea, select");
    const style = getComputedStyle(element);
    if (!(hasText || isField) || !element.checkVisibility()) continue;
    if (element.closest(".unseen, option, :disabled")) continue;
    const back = behind(element);
    const [a, b] = [light(over(parse(style.color), back)), light(back)].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), element.textContent.trim().slice(0, 40), element.tagName]);
  }
  return found;
}"""
FIELDS = "button, input, select, textarea, img, [role=listbox]"
NAMELESS = f"""() => [...document.querySelectorAll("{FIELDS}")]
  .filter((one) => one.checkVisibility())
  .filter((one) => !(one.textContent.trim() || one.ariaLabel || one.alt || one.labels?.length))
  .map((one) => one.outerHTML)"""
TOUCHED = "button, select, li.class, input:not([type=checkbox])"
SMALL = f"""() => [...document.querySelectorAll("{TOUCHED}")]
  .filter((one) => one.checkVisibility())
  .map((one) => [one.textContent, one.getBoundingClientRect()])
  .filter(([, box]) => box.height < 40 || box.width < 40)
  .map(([text]) => text)"""


def is_readable(ana: Any) -> None:
    contrasts = ana.page.evaluate(CONTRASTS)
    assert len(contrasts) > 3
    assert [row for row in contrasts if row[0] < 4.5] == []
    assert ana.page.evaluate(NAMELESS) == []


def is_narrow(ana: Any) -> None:
    """Nothing is wider than the screen, and all buttons are large enough for a finger."""
    widest = ana.page.evaluate(
        "Math.max(...[...document.querySelectorAll('header, main, dialog[open]')]"
        ".flatMap((one) => [one, ...one.querySelectorAll('*')])"
        ".filter((one) => one.checkVisibility())"
        ".map((one) => one.getBoundingClientRect().right))"
    )
    assert widest <= 390
    assert ana.page.evaluate(SMALL) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_texts_can_be_read(site: Any, person: Any, scheme: str) -> None:
    run = site(guidelines="<p>See <a href='https://example.org'>there</a>.</p>", guess=True)
    ana = person(run, color_scheme=scheme)
    ana.label("0", "1")
    run.cut(1)
    ana.label("1")
    ana.has_saved(3)
    ana.sees("#notices", "A model is training.")
    is_readable(ana)
    for opened, dialog in (("/", "guidelines"), ("?", "help"), ("!", "flag")):
        ana.press(opened)
        ana.sees(f"#{dialog}-dialog")
        is_readable(ana)
        ana.press("Escape")
    ana.page.route("**/api/answer", lambda route: route.abort())
    ana.label("0")
    ana.sees("#notices", "Not connected")
    ana.page.evaluate("document.getAnimations().forEach((one) => one.finish())")
    is_readable(ana)


def test_the_page_fits_a_phone(site: Any, person: Any, phone: Any) -> None:
    run = site(classes=[f"kind of mushroom {number}" for number in range(30)], kind="texts")
    ana = person(run, on=phone)
    ana.sees("#stage", "Text number 0.")
    assert ana.page.evaluate("document.activeElement.tagName") == "BODY"  # no keyboard pops up
    is_narrow(ana)
    ana.page.tap("#pad [data-class='2']")
    ana.page.tap("text=Guidelines")
    ana.sees("#guidelines-dialog")
    is_narrow(ana)
    ana.page.tap("#guidelines-dialog .close")
    ana.page.tap("#pad [data-class='4']")
    ana.page.tap("[data-command=skip]")
    ana.page.tap("[data-command=undo]")
    ana.has_saved(2)
    assert run.labels() == {"0000": 2, "0001": 4}
    ana.page.tap("#open-review")
    ana.sees("#review-rows .label", "kind of mushroom 4")
    is_narrow(ana)
    ana.page.tap("#review-rows [role=option]")
    ana.page.tap("#review-pad [data-class='3']")
    ana.page.tap("#review-close")
    ana.sees("#labels", "2 of 30")
    ana.page.tap("#pad [data-class='1']")
    ana.has_saved(3)
    assert run.labels() == {"0000": 2, "0001": 3, "0002": 1}


@pytest.mark.long
def test_nothing_moves_for_people_who_do_not_want_it(site: Any, person: Any) -> None:
    ana = person(site(), reduced_motion="reduce")
    ana.label("0", "!")
    ana.page.keyboard.type("x")
    ana.press("Enter")
    ana.sees("#notices", "flagged")
    assert ana.page.evaluate("document.getAnimations().length") == 0


def test_screen_readers_hear_what_was_answered_and_what_comes(site: Any, person: Any) -> None:
    ana = person(site(kind="texts"))
    ana.label("1")
    assert (
        ana.page.text_content("#announcer") == "dog. Next: Text number 1.\nIt has <b>two</b> lines."
    )
    assert ana.page.get_attribute("#announcer", "aria-live") == "polite"
    assert ana.page.get_attribute("#notices", "role") == "status"


def test_tab_and_enter_are_enough(site: Any, person: Any) -> None:
    run = site()
    ana = person(run)
    ana.sees_sample("0000")
    reached = []
    for _ in range(14):
        ana.press("Tab")
        reached.append(ana.page.evaluate("document.activeElement.textContent.trim()"))
    assert reached[:6] == ["Ana", "Review ,", "Help ?", "cat 0", "dog 1", "other 2"]
    assert [text.split()[0] for text in reached[6:11]] == [
        "Skip",
        "Zoom",
        "Flag",
        "Guidelines",
        "Why",
    ]
    ana.page.focus("[data-class='1']")
    ana.press("Enter", "Space")  # the focus stays where it is
    ana.has_saved(2)
    assert run.labels() == {"0000": 1, "0001": 1}
