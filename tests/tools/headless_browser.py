"""A headless Chromium driven over its debugging pipe, with nothing but the standard library."""
import json
import os
import shutil
import subprocess
import tempfile


def find_browser():
    """The browser's path: $CHROMIUM, or the first known name on PATH; None where there is none."""
    names = [os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
    return next((path for path in map(shutil.which, filter(None, names)) if path), None)


class Page:
    """One page of a browser of its own. `problems` gathers console errors, exceptions and files that did not load."""

    def __init__(self, browser):
        self._profile = tempfile.TemporaryDirectory()
        to_read, self._to_browser = os.pipe()
        self._from_browser, to_write = os.pipe()
        moved = f"exec 3<&{to_read} 4>&{to_write}; exec \"$@\""  # the browser reads commands from 3 and answers on 4
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe",
                 f"--user-data-dir={self._profile.name}"]
        self._process = subprocess.Popen(["bash", "-c", moved, "browser", browser, *flags], pass_fds=(to_read, to_write),
                                         stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        self._pending = b""
        self._n_sent = 0
        self._session = None
        self._events = []
        self.problems = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self._session = None
            self.call("Browser.close")
        except EOFError:
            pass
        self._process.wait()
        os.close(self._to_browser)
        os.close(self._from_browser)
        self._profile.cleanup()

    def _read_message(self):
        while b"\0" not in self._pending:
            part = os.read(self._from_browser, 1 << 16)
            if not part:
                raise EOFError("the browser ended")
            self._pending += part
        message, self._pending = self._pending.split(b"\0", 1)
        message = json.loads(message)
        if "method" in message:
            self._note(message["method"], message["params"])
        return message

    def _note(self, method, params):
        self._events.append(method)
        if method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.problems.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.problems.append("console: " + " ".join(str(a.get("value", a.get("description"))) for a in params["args"]))
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.problems.append("exception: " + details.get("exception", {}).get("description", details["text"]))
        elif method == "Network.requestWillBeSent" and not params["request"]["url"].startswith(("file:", "data:", "about:")):
            self.problems.append("asked the network for " + params["request"]["url"])

    def call(self, method, **params):
        """Sends a command of the Chrome DevTools protocol and returns its result."""
        self._n_sent += 1
        message = {"id": self._n_sent, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to_browser, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read_message()
            if answer.get("id") == self._n_sent:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def open(self, url):
        """Goes to an address and waits until the page and all it names are loaded."""
        self._events.clear()
        self.call("Page.navigate", url=url)
        while "Page.loadEventFired" not in self._events:
            self._read_message()

    def evaluate(self, script):
        """The value of a JavaScript expression; a promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"].get("exception", {}).get("description", "the script failed"))
        return answer["result"].get("value")

    def look(self, width, scheme):
        """Sets the window's width and the colour scheme ("light", "dark") that the reader prefers."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=1000, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
