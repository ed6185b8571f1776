"""The page in a real browser: a chat by keyboard, what could come next, and nothing but text."""

import os
import shutil

import pytest
from small_server import NAME, expected, served, small_model, small_service

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # this machine and no other
]
SECOND = 1000
"""Playwright counts in milliseconds."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def missing(what):
    """Skip on a learner's machine; fail where the project itself is checked."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}, and in CI this test must run")
    pytest.skip(what)


@pytest.fixture(scope="module")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed: pip install playwright")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        missing("no Chromium is installed: apt-get install chromium")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def page(browser):
    found = browser.new_page(viewport={"width": 1200, "height": 900})
    found.set_default_timeout(30 * SECOND)
    found.complaints = []
    found.on("pageerror", lambda error: found.complaints.append(str(error)))
    found.on(
        "console",
        lambda said: found.complaints.append(said.text) if said.type == "error" else None,
    )
    yield found
    found.close()


def open_page(page, server):
    page.goto(server.url)
    page.get_by_role("heading", name=f"Talk to {NAME}").wait_for()


def wait_until(page, expression):
    """Wait for a JavaScript expression to hold. The page's policy forbids playwright's own way."""
    for _ in range(600):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never came true: {expression}")


def wait_until_written(page):
    wait_until(page, "!document.getElementById('send').disabled && !looking && seen !== null")


def test_a_text_goes_on_and_shows_what_could_come_next(page):
    with served(small_service()) as server:
        open_page(page, server)
        page.get_by_label("Go on with a text").check()
        page.get_by_label("Temperature").fill("0")
        page.get_by_label("Tokens").fill("12")
        page.get_by_label("Your text").fill("Tom had")
        page.keyboard.press("Enter")
        wait_until_written(page)
        text = page.locator("#log .turn span").text_content()
        assert text == "Tom had" + expected("Tom had", 12)

        rows = page.locator("#next tr")
        assert rows.count() == 10
        assert rows.first.locator("td").nth(1).text_content().endswith(" %")
        assert page.locator("#layer option").count() == 2
        assert page.locator("#head option").count() == 4
        shares = page.locator("#looked small").all_text_contents()
        assert len(shares) > len("Tom had")
        assert sum(int(share.split()[0]) for share in shares) == pytest.approx(100, abs=12)

        assert page.evaluate("seen.layer") == 1
        page.get_by_label("Layer").select_option("0")
        wait_until(page, "seen.layer === 0 && !looking")
        button = page.locator("#next button").first
        token = button.get_attribute("data-token")
        button.focus()
        page.keyboard.press("Enter")
        wait_until_written(page)
        assert page.locator("#log .turn span").text_content() == text + token
        assert page.get_by_role("alert").text_content() == ""
        assert page.complaints == []


def test_a_chat_by_keyboard_is_announced(page):
    with served(small_service()) as server:
        open_page(page, server)
        page.get_by_label("Temperature").fill("0")
        page.get_by_label("Tokens").fill("10")
        page.get_by_label("Your text").fill("Who had a cat?")
        page.keyboard.press("Enter")
        wait_until_written(page)
        turns = page.locator("#log .turn")
        assert turns.count() == 2
        assert turns.nth(0).text_content() == "YouWho had a cat?"
        assert page.get_by_role("log").get_attribute("aria-live") == "polite"
        page.get_by_role("button", name="Begin anew").click()
        assert turns.count() == 0
        assert page.complaints == []


def test_what_a_model_says_is_text_and_never_html(page):
    with served(small_service()) as server:
        open_page(page, server)
        page.get_by_label("Go on with a text").check()
        page.get_by_label("Your text").fill("<img src=x onerror=alert(1)><b id=evil>bold</b>")
        page.keyboard.press("Enter")
        wait_until_written(page)
        assert "<b id=evil>bold</b>" in page.locator("#log").text_content()
        assert page.locator("#evil, #log img, #looked img").count() == 0
        assert page.complaints == []


def test_every_control_has_a_name_and_an_error_is_announced(page):
    with served(small_service(), key="sesame") as server:
        page.goto(server.url)
        wait_until(page, "document.getElementById('error').textContent !== ''")
        assert "wants a key" in page.get_by_role("alert").text_content()
        page.get_by_label("API key").fill("sesame")
        page.keyboard.press("Tab")
        page.get_by_role("heading", name=f"Talk to {NAME}").wait_for()
        unnamed = page.evaluate(
            """[...document.querySelectorAll('input, select, textarea, button')].filter(
                (one) => !(one.labels && one.labels.length) && !one.textContent.trim()
            ).map((one) => one.id)"""
        )
        assert unnamed == []


def test_the_page_asks_no_other_machine_and_its_policy_forbids_it(page):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    with served(small_service(small_model(context_length=64))) as server:
        answer = page.goto(server.url)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy
        page.get_by_role("heading", name=f"Talk to {NAME}").wait_for()
        page.get_by_role("button", name="Look now").click()
        page.locator("#next tr").first.wait_for()
        assert asked
        assert all(url.startswith((server.url, "data:")) for url in asked)
