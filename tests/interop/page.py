"""The page for people in headless Chromium: page.py ORIGIN ALICE BOB SCREENSHOTS.

ORIGIN is filled by 66-page.sh; ALICE and BOB are passwords. A line `ok NAME` or `not ok NAME` for each thing shown.
"""

import base64
import json
import pathlib
import sys
import tempfile
import traceback
import urllib.parse

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

ORIGIN, ALICE, BOB, SCREENSHOTS = sys.argv[1:5]
HOST = ORIGIN.split("//")[1]
SCREENSHOTS = pathlib.Path(SCREENSHOTS)
WIDE, NARROW = (1280, 900), (360, 740)

# Texts of a page that stand out from what is behind them by less than 4.5 to 1 (WCAG 2, 1.4.3).
FAINT = """
const channel = v => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
const parse = text => text.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const behind = element => {
  for (let at = element; at; at = at.parentElement) {
    const color = parse(getComputedStyle(at).backgroundColor);
    if (color.length < 4 || color[3] > 0) return color;
  }
  return [255, 255, 255];
};
const faint = [];
const look = (element, text, color) => {
  const [a, b] = [light(parse(color)), light(behind(element))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) faint.push(`${element.tagName}.${element.className} "${text}" ${ratio.toFixed(2)}`);
};
for (const element of document.body.querySelectorAll('*')) {
  const own = [...element.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join('');
  if (own && element.getClientRects().length) look(element, own, getComputedStyle(element).color);
  if (element.placeholder) look(element, element.placeholder, getComputedStyle(element, '::placeholder').color);
}
return faint;
"""

# What is wider than the page, and sticks out of it.
WIDER = """
const width = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth <= width) return [];
return [...document.body.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > width + 1)
  .map(e => `${e.tagName}.${e.className}`).slice(0, 5);
"""

# What a page lacks that people need who do not see it.
LACKS = """
const lacks = [];
const one = s => { const n = document.querySelectorAll(s).length; if (n !== 1) lacks.push(`${n} × ${s}`); };
['main', 'body > header', 'body > footer', 'h1', 'header nav[aria-label]', 'html[lang=en]', 'a.skip[href="#main"]'].forEach(one);
for (const table of document.querySelectorAll('table')) {
  if (!table.caption || !table.caption.textContent.trim()) lacks.push('a table without caption');
  for (const th of table.querySelectorAll('th')) if (!th.scope) lacks.push('a heading without scope');
}
for (const field of document.querySelectorAll('input, select')) {
  if (!field.labels.length && !field.ariaLabel) lacks.push(`no label of ${field.name}`);
}
const levels = [...document.querySelectorAll('h1, h2, h3')].map(h => +h.tagName[1]);
levels.forEach((level, at) => { if (at && level > levels[at - 1] + 1) lacks.push('a level of headings is left out'); });
for (const link of document.querySelectorAll('a')) if (!link.textContent.trim()) lacks.push(`a link without words: ${link.href}`);
if (document.scripts.length) lacks.push('a script');
if (document.querySelector('[style], [onclick]')) lacks.push('style or script in the page');
const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
if (new Set(ids).size !== ids.length) lacks.push('an id stands twice');
return lacks;
"""


class Browser:
    """One person's Chromium."""

    def __init__(self, profile):
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in [
            "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", f"--user-data-dir={profile}",
            "--disable-background-networking", "--disable-component-update", "--no-first-run", "--force-color-profile=srgb",
        ]:
            options.add_argument(flag)
        options.set_capability("acceptInsecureCerts", True)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        self.driver = webdriver.Chrome(service=webdriver.chrome.service.Service("/usr/bin/chromedriver"), options=options)
        self.driver.set_page_load_timeout(60)
        self.size(WIDE)
        self.requested, self.said = set(), []

    def size(self, size):
        narrow = size == NARROW
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": size[0], "height": size[1], "deviceScaleFactor": 2 if narrow else 1, "mobile": narrow})

    def scheme(self, name):
        feature = {"name": "prefers-color-scheme", "value": name}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def go(self, path, account=None):
        origin = ORIGIN if account is None else ORIGIN.replace("://", "://" + ":".join(
            urllib.parse.quote(part, safe="") for part in account) + "@")
        self.driver.get(origin + path)
        self.listen()

    def listen(self):
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.requested.add(message["params"]["request"]["url"])
        self.said += [entry["message"] for entry in self.driver.get_log("browser")]

    def click(self, words):
        self.driver.find_element(By.LINK_TEXT, words).click()
        self.listen()

    def path(self):
        return self.driver.current_url.removeprefix(ORIGIN)

    def text(self, selector="main"):
        return self.driver.find_element(By.CSS_SELECTOR, selector).text

    def texts(self, selector):
        return [one.text for one in self.driver.find_elements(By.CSS_SELECTOR, selector)]

    def names(self):
        return self.texts("tbody th")

    def filter(self, **fields):
        for name, value in fields.items():
            field = self.driver.find_element(By.NAME, name)
            if field.tag_name == "select":
                Select(field).select_by_value(value)
            else:
                field.clear()
                field.send_keys(value)
        self.driver.find_element(By.CSS_SELECTOR, "form.filter button").click()
        self.listen()

    def picture(self, name):
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        # A page that fits is shown whole; a long list as much as tells.
        size = self.driver.execute_script("return [document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {
            "captureBeyondViewport": True,
            "clip": {"x": 0, "y": 0, "width": size[0], "height": min(size[1], 2200), "scale": 1}})
        (SCREENSHOTS / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))


passed = failed = 0


def check(name, found, wanted=True):
    global passed, failed
    if found == wanted:
        passed += 1
        print(f"ok {name}", flush=True)
    else:
        failed += 1
        print(f"not ok {name}: {str(found)[:600]!r} is not {str(wanted)[:300]!r}", flush=True)


def browse(browser):
    """From the start to a tree, as somebody who has not logged in."""
    browser.go("/")
    check("the start lists repositories by name", browser.names()[:5],
          ["apps/go-app", "apps/python-app", "base/debian", "charts/web", "zoo/animal-01"])
    check("a page has fifty of them", len(browser.names()), 50)
    check("what may not be pulled is not shown", "payroll" in browser.driver.page_source, False)
    browser.click("Next page")
    check("the next page has the rest", browser.names()[-1], "zoo/animal-52")
    browser.click("First page")
    browser.click("base/debian")
    check("a repository has its tags", set(browser.names()), {"13", "12.0"})
    browser.click("13")
    check("a tag leads to a page of its own", browser.path(), "/r/base/debian:13")
    tree = browser.driver.find_element(By.CSS_SELECTOR, "ul.tree")
    first = tree.find_element(By.CSS_SELECTOR, "summary").text
    check("its tree begins with the index", first.startswith("Index"))
    images = [one for one in tree.find_elements(By.CSS_SELECTOR, "details details > summary")]
    check("which lists its platforms", [one.text.split(" sha256")[0] for one in images],
          ["Image linux/amd64", "Image linux/arm64"])
    check("with the sizes of all below", all("MiB" in one.text for one in images))
    layers = tree.find_elements(By.CSS_SELECTOR, "details details li .what")
    check("their layers are folded away", any(one.text for one in layers), False)
    images[0].click()
    shown = [one.text for one in layers if one.text]
    check("and unfold without a script", shown, ["Config", "Layer"])
    command = browser.texts("pre.command")
    check("a command pulls the tag", command[0], f"podman pull {HOST}/base/debian:13")
    check("another the digest", command[1].startswith(f"podman pull {HOST}/base/debian@sha256:"))
    tree.find_element(By.CSS_SELECTOR, "details details a").click()
    browser.listen()
    check("an image has a page too", "Image for linux/amd64" in browser.text(".facts"))
    check("which says what lists it", "Listed by" in browser.text(".facts"))
    browser.go("/r/charts/web")
    check("a chart is called so", "Helm chart" in browser.text("tbody"))
    browser.click(browser.names()[0])
    check("and pulled by helm", browser.texts("pre.command")[0].startswith(f"helm pull oci://{HOST}/charts/web --version "))


def filters(browser):
    every = lambda: browser.go("/")
    every()
    browser.filter(name="PYTHON")
    check("repositories are found by name", browser.names(), ["apps/python-app"])
    check("the form keeps what was asked for", browser.driver.find_element(By.NAME, "name").get_attribute("value"), "PYTHON")
    browser.click("Show all")
    check("all are a click away", browser.path(), "/")
    browser.filter(platform="arm64")
    check("by platform", browser.names(), ["base/debian"])
    every()
    browser.filter(label="env=production", name="apps")
    check("by a label and its value", browser.names(), ["apps/go-app"])
    browser.filter(label="env=test")
    check("not by another value", "No repository" in browser.text(".empty"))
    browser.filter(label="org.opencontainers.image.source", name="go-app")
    check("by an annotation", browser.names(), ["apps/go-app"])
    every()
    browser.filter(moved="within", days="1", name="base")
    check("by age: moved of late", browser.names(), ["base/debian"])
    browser.filter(moved="before", days="1")
    check("by age: not moved of late", browser.names(), [])
    browser.go("/r/base/debian")
    browser.filter(platform="linux/arm64")
    check("tags are found by platform", browser.names(), ["13"])
    browser.filter(platform="", name="12")
    check("and by name", browser.names(), ["12.0"])
    browser.go("/?days=0")
    check("what cannot be asked for is said", "hundred years" in browser.text(".note"))


def history(browser, mover):
    """Of a tag that was moved; `mover` is what this visitor hears of who did it."""
    browser.go("/r/apps/python-app")
    row = [one for one in browser.driver.find_elements(By.CSS_SELECTOR, "tbody tr") if one.text.startswith("stable")][0]
    now = row.find_element(By.CSS_SELECTOR, "a.digest").get_attribute("title")
    check(f"a list says who moved a tag: {mover}", mover in row.text)
    row.find_element(By.PARTIAL_LINK_TEXT, "History").click()
    browser.listen()
    check("a tag has a history", browser.path(), "/history/apps/python-app:stable")
    rows = browser.driver.find_elements(By.CSS_SELECTOR, "tbody tr")
    cells = [[cell.text for cell in row.find_elements(By.CSS_SELECTOR, "th, td")] for row in rows]
    check("of two moves", len(cells), 2)
    check(f"each by whom: {mover}", [cell[1] for cell in cells], [mover, mover])
    times = [row.find_element(By.TAG_NAME, "time").get_attribute("datetime") for row in rows]
    check("the last one first", times == sorted(times, reverse=True) and times[0].endswith("Z"))
    check("from where the one before led to", (cells[0][2], cells[1][2]), (cells[1][3], "nowhere"))
    check("to where it leads now", rows[0].find_element(By.LINK_TEXT, cells[0][3]).get_attribute("title"), now)


def referrers(browser):
    browser.go("/r/apps/go-app:1.0")
    kinds = browser.texts("section[aria-labelledby=about] tbody th")
    for kind in ["Signature", "SBOM (SPDX)", "Findings (SARIF)"]:
        check(f"it is said what is about an image: {kind}", any(one.startswith(kind) for one in kinds))
    labels = browser.text("#labels + dl")
    check("labels are shown as they are", "Example & Sons" in labels and "production" in labels)
    source = browser.text("#annotations + dl")
    check("annotations too, and no link", "https://git.example/go-app" in source
          and not browser.driver.find_elements(By.CSS_SELECTOR, "dl.pairs a"))
    at = [i for i, kind in enumerate(kinds) if kind.startswith("SBOM")][0]
    browser.driver.find_elements(By.CSS_SELECTOR, "section[aria-labelledby=about] tbody a")[at].click()
    browser.listen()
    check("a referrer has a page", "About" in browser.text(".facts") and "sbom.spdx.json" in browser.text("ul.tree"))
    blob = browser.driver.find_elements(By.CSS_SELECTOR, "ul.tree a.digest")[-1].get_attribute("href")
    got = browser.driver.execute_async_script(
        "const done = arguments[1]; fetch(arguments[0]).then(r => r.text()).then(done, e => done(String(e)))", blob)
    check("the policy lets no script fetch, not even ours", "SPDX" in got, False)
    browser.said = [said for said in browser.said if "Content Security Policy" not in said]
    browser.driver.get_log("browser")


def login(browser, other):
    browser.go("/r/private/payroll")
    check("who may have to log in is sent to do that", browser.path(), "/login?to=/r/private/payroll")
    link = "/login?to=/r/private/payroll"
    browser.go(link, ("alice", ALICE))
    check("with a password it goes on to the page", browser.path(), "/r/private/payroll")
    check("which is there", browser.names(), ["1.0"])
    check("it says who is logged in", "user:alice" in browser.text("header"))
    browser.go("/")
    check("on all pages", "user:alice" in browser.text("header") and "Log in" not in browser.text("header"))
    history(browser, "user:alice")
    browser.go("/")
    browser.filter(name="payroll")
    check("which show what the account may pull", browser.names(), ["private/payroll"])
    other.go("/")
    other.click("Log in")
    other.go("/login?to=/r/private/payroll", ("bob", BOB))
    check("who may not see it is told that there is nothing", other.text("h1"), "Not found")
    there = other.text("main")
    other.go("/r/private/nothing")
    check("as of what is not there", other.text("main"), there)


def keyboard(browser):
    browser.go("/r/base/debian")
    press = lambda key: webdriver.ActionChains(browser.driver).send_keys(key).perform()
    focused = lambda: browser.driver.switch_to.active_element
    press(Keys.TAB)
    check("Tab comes to the skip link first", focused().text, "Skip to the content")
    box = focused().rect
    check("which is seen then", box["y"] >= 0 and box["height"] > 20)
    press(Keys.ENTER)
    check("Enter goes to the content", focused().get_attribute("id"), "main")
    seen = []
    for _ in range(25):
        press(Keys.TAB)
        seen.append(focused().get_attribute("name") or focused().text)
        outline = browser.driver.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
        if outline == "none":
            check(f"focus is seen at {seen[-1]}", outline, "visible")
        if focused().text == "13":
            break
    check("Tab goes on to fields and links", [name for name in seen if name in ("name", "platform", "label", "moved", "days", "Filter", "13")],
          ["name", "platform", "label", "moved", "days", "Filter", "13"])
    press(Keys.ENTER)
    browser.listen()
    check("Enter follows a link", browser.path(), "/r/base/debian:13")
    for _ in range(40):
        press(Keys.TAB)
        if focused().tag_name == "summary" and "linux/amd64" in focused().text:
            break
    press(Keys.ENTER)
    folded = browser.driver.find_element(By.CSS_SELECTOR, "details details")
    check("Enter unfolds a part of a tree", folded.get_attribute("open"), "true")


def looks(browser):
    """Every page in both widths and schemes."""
    pages = {
        "start": "/", "repository": "/r/base/debian", "index": "/r/base/debian:13", "image": "/r/apps/go-app:1.0",
        "history": "/history/apps/python-app:stable", "chart": "/r/charts/web", "nothing": "/?name=nothing-like-that",
        "not-found": "/r/apps/none", "bad-request": "/?days=0",
    }
    titles, lacks = [], []
    for name, path in pages.items():
        for width, size in [("desktop", WIDE), ("narrow", NARROW)]:
            browser.size(size)
            for scheme in ["light", "dark"]:
                browser.scheme(scheme)
                browser.go(path)
                check(f"{name} {width} {scheme}: what is written can be read", browser.driver.execute_script(FAINT), [])
                if name in ("start", "repository", "index", "image", "history"):
                    browser.picture(f"{name}-{width}-{scheme}")
            check(f"{name} {width}: nothing sticks out", browser.driver.execute_script(WIDER), [])
            if width == "narrow" and browser.driver.find_elements(By.CSS_SELECTOR, "table"):
                tree = browser.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
                roles = {node["role"]["value"] for node in tree if not node.get("ignored")}
                check(f"{name} narrow: a table is still one to a screen reader",
                      {"table", "row", "cell", "columnheader", "rowheader"} <= roles)
        lacks += [f"{name}: {lack}" for lack in browser.driver.execute_script(LACKS)]
        titles.append(browser.driver.title)
    check("pages have what people need who do not see them", lacks, [])
    check("each page but the lists of the start has a title of its own", len(set(titles)), len(titles) - 1)
    browser.size(WIDE)
    browser.scheme("dark")
    browser.go("/")
    dark = browser.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    browser.scheme("light")
    light = browser.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    red = lambda color: int(color.removeprefix("rgb(").split(",")[0])
    check("dark is dark and light is light", (red(dark) < 64, red(light) > 192), (True, True))


def main():
    with tempfile.TemporaryDirectory() as folder:
        people = [Browser(f"{folder}/{name}") for name in ("nobody", "alice", "bob")]
        nobody, alice, bob = people
        try:
            for step in [lambda: browse(nobody), lambda: filters(nobody), lambda: history(nobody, "unknown"), lambda: referrers(nobody),
                         lambda: keyboard(nobody), lambda: looks(nobody), lambda: login(alice, bob)]:
                try:
                    step()
                except Exception:
                    check(traceback.format_exc().replace("\n", " | ")[-900:], False)
            elsewhere = {url for one in people for url in one.requested
                         if not url.startswith((ORIGIN + "/", "data:", "about:", "chrome:")) and f"@{HOST}/" not in url}
            check("nothing is asked for elsewhere", elsewhere, set())
            check("something was asked for", len(nobody.requested) > 20)
            refused = [said for said in nobody.said if "400" not in said and "404" not in said]
            check("the browser has nothing to complain of", refused, [])
        finally:
            for one in people:
                one.driver.quit()
    sys.exit(0)


main()
