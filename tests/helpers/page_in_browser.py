"""Pages in headless Chromium: ``python tests/helpers/page_in_browser.py PAGE...`` lists violations found by axe.

Needs ``chromium`` or ``google-chrome`` on the PATH and, for axe, what ``make check-report`` fetches.
"""

import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
MODES = [(1400, False), (1400, True), (390, False), (390, True)]
"""Width in CSS pixels, and whether the screen is dark."""
_LIST_VIOLATIONS = """
const {violations} = await axe.run(document, {resultTypes: ["violations"]});
return violations.map((v) => `${v.id}: ${v.nodes.map((node) => node.target.join(" ")).join(", ")}`);
"""
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="neither chromium nor google-chrome is on the PATH")
needs_axe = pytest.mark.skipif(
    not (CHROMIUM and AXE.is_file()), reason="needs chromium, and axe-core from `make check-report`"
)


def evaluate(page: str, code: str, width: int = 1400, is_dark: bool = False) -> Any:
    """What the body of an asynchronous function in JavaScript returns in the loaded page.

    ``page`` is HTML, shown in a frame ``width`` CSS pixels wide; the value returned must be JSON.
    """
    run = f"(async () => {{{code}}})().catch(String).then((found) => parent.postMessage(JSON.stringify(found)))"
    inner = html.escape(f"{page}<script>{run}</script>")
    host = f"""<!DOCTYPE html><meta charset="utf-8"><meta name="color-scheme" content="light dark"><pre></pre><script>
    onmessage = (event) => document.querySelector("pre").textContent = event.data;</script>
    <iframe style="width:{width}px;height:2000px;border:0" srcdoc="{inner}"></iframe>"""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "host.html").write_text(host, encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile"]
        options += ["--virtual-time-budget=60000", f"--blink-settings=preferredColorScheme={0 if is_dark else 1}"]
        command = [CHROMIUM or "chromium", *options, "--dump-dom", f"{folder}/host.html"]
        shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    (found,) = re.findall(r"<pre>(.*?)</pre>", shown, re.DOTALL)[:1]
    return json.loads(html.unescape(found))


def violations(page: str, width: int, is_dark: bool) -> list[str]:
    """The rules of axe that a page violates, each with the elements concerned."""
    return list(evaluate(f"{page}<script>{AXE.read_text(encoding='utf-8')}</script>", _LIST_VIOLATIONS, width, is_dark))


if __name__ == "__main__":
    found = [
        f"{name}, {width} px{', dark' if is_dark else ''}: {violation}"
        for name in sys.argv[1:]
        for width, is_dark in MODES
        for violation in violations(Path(name).read_text(encoding="utf-8"), width, is_dark)
    ]
    sys.exit("\n".join(found) or None)
