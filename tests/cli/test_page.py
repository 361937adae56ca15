"""The page of nearlite serve, in a real browser: what a person does with it, at the width of a phone and of a desk.

Needs Debian's chromium; NEARLITE_SCREENSHOTS, if set, is a folder that gets a picture of each view.
"""

import os
import pathlib
import sqlite3
import unittest

from playwright.sync_api import expect, sync_playwright

from service import ServiceTest

WIDTHS = {390: 844, 1280: 800}
AXE = (pathlib.Path(os.environ["NEARLITE_NODE_MODULES"]) / "axe-core/axe.min.js").read_text()


class Page(ServiceTest):
    def setUp(self):
        super().setUp()
        self.playwright = sync_playwright().start()
        self.addCleanup(self.playwright.stop)
        self.browser = self.playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        self.addCleanup(self.browser.close)

    def open(self, server, width=1280, scheme="light", path="/"):
        context = self.browser.new_context(viewport={"width": width, "height": WIDTHS[width]}, color_scheme=scheme)
        page = context.new_page()
        self.told, self.requests = [], []
        page.on("console", lambda message: self.told.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda problem: self.told.append(str(problem)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(f"http://127.0.0.1:{server.port}{path}")
        return page

    def picture(self, page, name):
        if folder := os.environ.get("NEARLITE_SCREENSHOTS"):
            page.screenshot(path=pathlib.Path(folder) / f"{name}-{page.viewport_size['width']}.png")

    def calm(self, server):
        self.assertEqual(self.told, [])
        own = f"http://127.0.0.1:{server.port}/"
        self.assertEqual([url for url in self.requests if not url.startswith(own)], [])

    def accessible(self, page):
        """WCAG 2.2 A and AA, by axe; run through the debugger, since the page's policy lets no script in."""
        page.evaluate(AXE)
        rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
        found = page.evaluate("(options) => axe.run(document, options)", rules)
        self.assertGreater(len(found["passes"]), 10)
        self.assertEqual([(rule["id"], [node["html"][:120] + node["failureSummary"] for node in rule["nodes"]])
                          for rule in found["violations"]], [])

    def dot(self, page, state):
        return page.locator(f".store .legend .{state}").evaluate("element => getComputedStyle(element, '::before').backgroundColor")

    def fits(self, page):
        self.accessible(page)
        self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), page.viewport_size["width"])

    def test_hits_come_while_typing_and_explain_themselves(self):
        server = self.serve_notes()
        for width in WIDTHS:
            page = self.open(server, width)
            page.keyboard.type("how do I reset my password")  # the box has the focus
            first = page.locator("#hits .hit").first
            expect(first).to_contain_text("Password reset")
            expect(first.locator("mark").first).to_have_text("password", ignore_case=True)
            expect(first.locator(".bar")).to_be_visible()
            expect(page.locator("#status")).to_contain_text("of 6 records")
            self.picture(page, "search")
            self.fits(page)
            page.keyboard.press("ArrowDown")
            expect(first.locator(".title")).to_be_focused()
            page.keyboard.press("Enter")
            expect(page.locator("#drawer-title")).to_have_text("Password reset")
            expect(page.locator("#drawer-body .chart .bar")).to_have_count(2)
            expect(page.locator("#drawer-body .chart")).to_contain_text("similarity")
            page.get_by_role("button", name="Rows like this one").click()
            expect(page.locator("#drawer-body ol li")).to_have_count(5)
            self.picture(page, "drawer")
            self.fits(page)
            page.keyboard.press("Escape")
            expect(page.locator("#drawer")).to_be_hidden()
            expect(first.locator(".title")).to_be_focused()
            page.keyboard.press("/")
            expect(page.locator("#question")).to_be_focused()
            self.calm(server)

    def test_filters_and_empty_states(self):
        server = self.serve_notes()
        page = self.open(server, path="/?q=soup")
        expect(page.locator("#hits .hit").first).to_contain_text("Tomato soup")
        page.get_by_text("Filters", exact=True).click()
        page.get_by_label("Field").select_option("title")
        page.get_by_label("Value").fill("Printer")
        expect(page.locator("#hits .hit")).to_have_count(1)
        expect(page.locator("#hits .hit")).to_contain_text("Printer")
        page.get_by_label("Value").fill("no such title")
        expect(page.locator("#no-hits")).to_contain_text("Nothing was found")
        page.get_by_label("Value").fill("")
        page.get_by_label("note", exact=True).uncheck()
        expect(page.locator("#no-hits")).to_contain_text("No store is chosen")
        self.picture(page, "filters")
        self.accessible(page)
        self.calm(server)

    def test_a_refresh_is_watched(self):
        server = self.serve_notes()
        self.execute(self.folder / "app.db", "INSERT INTO note(title, body) VALUES ('Bees', 'The hive swarms in May.')")
        for width in WIDTHS:
            page = self.open(server, width, "dark")
            page.get_by_role("button", name="Stores", exact=True).click()
            expect(page.locator(".store")).to_contain_text("of 7 rows fresh")
            if width == 390:
                expect(page.locator(".store")).to_contain_text("1 missing")
            page.get_by_role("button", name="Refresh note").click()
            expect(page.locator("#job-text")).to_contain_text("done")
            expect(page.locator(".store")).to_contain_text("7 of 7 rows fresh")
            self.assertNotEqual(self.dot(page, "fresh"), self.dot(page, "missing"))  # the colors of the bar
            self.picture(page, "stores")
            self.fits(page)
            self.calm(server)

    def test_text_of_records_runs_nothing(self):
        hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'><svg onload=alert(3)> javascript:alert(4)"
        self.make_notes(rows=[(hostile, hostile + " about bees"), ("Plain", "Something else about ships")])
        self.succeed("index", self.folder / "app.db", "--table", "note:title,body", "--yes", "--quiet")
        server = self.serve(self.folder / "app.db").until_ready()
        page = self.open(server, path="/?q=bees")
        page.on("dialog", lambda dialog: self.told.append("a dialog: " + dialog.message))
        expect(page.locator("#hits .hit").first).to_contain_text("onerror")
        page.locator("#hits .title").first.click()
        expect(page.locator("#drawer-body")).to_contain_text("<script>")
        self.assertEqual(page.locator("main img, main script, main svg, aside img, aside script, aside svg").count(), 0)
        self.calm(server)

    def test_errors_help(self):
        tokens = self.folder / "tokens"
        tokens.write_text("open-sesame\n")
        tokens.chmod(0o600)
        server = self.serve_notes("--token-file", tokens)
        page = self.open(server)
        page.get_by_label("This service wants a token").fill("open-sesame")
        page.get_by_role("button", name="Use it").click()
        page.locator("#question").fill("soup")
        expect(page.locator("#hits .hit").first).to_contain_text("Tomato soup")
        self.assertNotIn("open-sesame", page.evaluate("JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.cookie"))
        server.stop()
        page.locator("#question").fill("password")
        expect(page.locator("#error")).to_contain_text("cannot be reached")
        self.picture(page, "error")
        self.accessible(page)

    def test_the_colors_are_a_choice_that_stays(self):
        server = self.serve_notes()
        page = self.open(server, path="/?q=soup")
        expect(page.locator("#hits .hit").first).to_be_visible()
        before = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.get_by_role("button", name="Theme: switch between dark and light").click()
        self.assertNotEqual(page.evaluate("getComputedStyle(document.body).backgroundColor"), before)
        self.accessible(page)
        page.reload()
        expect(page.locator("#hits .hit").first).to_be_visible()
        self.assertNotEqual(page.evaluate("getComputedStyle(document.body).backgroundColor"), before)
        self.calm(server)

    def test_a_refresh_is_stopped(self):
        server = self.serve_notes()
        db = sqlite3.connect(self.folder / "app.db")
        with db:
            db.executemany("INSERT INTO note(title, body) VALUES (?, ?)",
                           ((f"Ship {i}", f"Ship {i} sails the sea with its crew. " * 25) for i in range(5000)))
        db.close()
        page = self.open(server)
        page.get_by_role("button", name="Stores", exact=True).click()
        expect(page.locator(".store")).to_contain_text("5,000 missing")
        page.get_by_role("button", name="Refresh all").click()
        expect(page.locator("#job-text")).to_contain_text("rows looked at", timeout=60_000)
        self.picture(page, "running")
        self.accessible(page)
        page.get_by_role("button", name="Stop", exact=True).click()
        expect(page.locator("#job-text")).to_contain_text("cancelled", timeout=60_000)
        expect(page.locator(".store")).to_contain_text("missing")
        expect(page.locator(".store")).not_to_contain_text("· 0 missing")
        self.calm(server)

    def test_policy(self):
        server = self.serve_notes()
        for path in ["/", "/page/page.js", "/page/page.css"]:
            answer = server.get(path)
            policy = answer.headers["Content-Security-Policy"]
            self.assertIn("default-src 'none'", policy)
            self.assertNotIn("unsafe", policy)
            self.assertEqual(server.get(path, If_None_Match=answer.headers["ETag"]).status, 304)


if __name__ == "__main__":
    unittest.main()
