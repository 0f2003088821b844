#!/usr/bin/env python3
"""Draws the panels of edged.json with the data of a Prometheus, as one page of HTML: a look at the queries where no Grafana can be
had. picture.py http://127.0.0.1:9090 MINUTES [ROW...] >page.html; then chromium --headless --screenshot=metrics.png page.html"""

import html
import json
import pathlib
import re
import sys
import time
import urllib.parse
import urllib.request

COLOURS = ["#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#b877d9", "#f2495c", "#8ab8ff", "#96d98d", "#ffb357"]
WIDE, HIGH = 1500, 30


def ask(server, path, **parameters):
    with urllib.request.urlopen(f"{server}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=30) as answer:
        return json.load(answer)["data"]["result"]


def filled(expression, step):
    """As Grafana puts in its variables."""
    return expression.replace("$__rate_interval", f"{max(4 * step, 10)}s").replace("$instance", ".*")


def legend(text, labels):
    return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), text) or json.dumps(labels)


def number(value, unit):
    if unit in ("s",) and abs(value) < 1 and value:
        return f"{value * 1000:.3g} ms"
    if unit == "percentunit":
        return f"{value * 100:.3g}%"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g} {letter}"
    words = {"s": " s", "celsius": " C", "kelvin": " K", "watt": " W", "joule": " J", "currencyUSD": " $"}
    return f"{value:.3g}{words.get(unit, '')}"


def series(server, panel, begin, end, step):
    for target in panel["targets"]:
        expression = filled(target["expr"], step)
        for found in ask(server, "query_range", query=expression, start=begin, end=end, step=step):
            values = [(float(at), float(value)) for at, value in found["values"] if value not in ("NaN", "+Inf", "-Inf")]
            if values:
                yield legend(target["legendFormat"], found["metric"]), values, target["refId"]


def chart(panel, lines, begin, end, width, height):
    defaults = panel["fieldConfig"]["defaults"]
    stacked, unit = "stacking" in defaults["custom"], defaults["unit"]
    below = {}
    if stacked:
        raised = []
        for name, values, which in lines:
            values = [(at, below.setdefault(at, 0) + value) for at, value in values]
            below.update(values)
            raised.append((name, values, which))
        lines = raised
    every = [value for _, values, _ in lines for _, value in values] or [0, 1]
    low = min(defaults.get("min", min(every)), *every)
    high = max(defaults.get("max", max(every)), max(every), low + 1e-9)
    x = lambda at: 52 + (at - begin) / (end - begin) * (width - 60)
    y = lambda value: height - 34 - (value - low) / (high - low) * (height - 60)
    out = []
    for share in (0, 0.5, 1):
        value = low + (high - low) * share
        out.append(f'<line x1="52" x2="{width - 8}" y1="{y(value):.1f}" y2="{y(value):.1f}" class="grid"/>')
        out.append(f'<text x="48" y="{y(value) + 4:.1f}" text-anchor="end">{html.escape(number(value, unit))}</text>')
    for place, (name, values, which) in reversed(list(enumerate(lines))):
        colour, dashed = COLOURS[place % len(COLOURS)], ""
        if panel["fieldConfig"]["overrides"] and which == "B":
            colour, dashed = "#f2495c", ' stroke-dasharray="8 6"'
        path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in values)
        if stacked:
            bottom = f" {x(values[-1][0]):.1f},{y(low):.1f} {x(values[0][0]):.1f},{y(low):.1f}"
            out.append(f'<polygon points="{path}{bottom}" fill="{colour}" opacity="0.55"/>')
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.4"{dashed}/>')
    shown = "".join(
        f'<tspan fill="{COLOURS[place % len(COLOURS)]}"> ■ </tspan>{html.escape(name)}'
        for place, (name, _, _) in enumerate(lines[:6])
    )
    out.append(f'<text x="8" y="{height - 8}">{shown if lines else "no data"}</text>')
    return "".join(out)


def stat(panel, lines, width, height):
    if not lines:
        return f'<text x="{width / 2}" y="{height / 2 + 14}" text-anchor="middle" class="big">-</text>'
    name, values, _ = max(lines, key=lambda line: line[1][-1][0])
    defaults, value = panel["fieldConfig"]["defaults"], values[-1][1]
    text = name if panel["options"]["textMode"] == "name" else number(value, defaults["unit"])
    for mapping in defaults["mappings"]:
        text = mapping["options"].get(f"{value:g}", {}).get("text", text)
    return f'<text x="{width / 2}" y="{height / 2 + 14}" text-anchor="middle" class="big">{html.escape(text)}</text>'


def main():
    server, minutes, rows = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
    rows = rows or None
    end = time.time()
    begin, step = end - minutes * 60, max(1, int(minutes * 60 / 200))
    panels = json.loads(pathlib.Path(__file__).with_name("edged.json").read_text())["panels"]
    out, shown, top, bottom = [], True, None, 0
    for panel in panels:
        at = panel["gridPos"]
        if panel["type"] == "row":
            shown, top = rows is None or panel["title"] in rows, at["y"] - bottom
            bottom += 1 if shown else 0
            if shown:
                out.append(f'<div class="row" style="top:{(at["y"] - top) * HIGH + 4}px">{html.escape(panel["title"])}</div>')
            continue
        if not shown:
            continue
        width, height = WIDE * at["w"] / 24 - 8, HIGH * at["h"] - 8
        lines = list(series(server, panel, begin, end, step))
        drawn = stat(panel, lines, width, height) if panel["type"] == "stat" else chart(panel, lines, begin, end, width, height)
        place = f'left:{WIDE * at["x"] / 24:.0f}px;top:{(at["y"] - top) * HIGH:.0f}px'
        title = f'<text x="8" y="17" class="title">{html.escape(panel["title"])}</text>'
        out.append(f'<svg style="{place}" width="{width:.0f}" height="{height:.0f}">{title}{drawn}</svg>')
        bottom = max(bottom, at["y"] - top + at["h"])
    style = (
        "body{margin:8px;background:#111217;position:relative}svg,.row{position:absolute;background:#181b1f;border:1px solid #2a2d33}"
        "text{fill:#c7d0d9;font:11px sans-serif}.title{font-weight:bold}.big{font-size:24px}.grid{stroke:#2a2d33}"
        ".row{background:none;border:0;color:#c7d0d9;font:bold 14px sans-serif}"
    )
    print(f"<!doctype html><meta charset=utf-8><style>{style}</style>{''.join(out)}")
    print(f"{WIDE + 16}x{bottom * HIGH + 16}", file=sys.stderr)


if __name__ == "__main__":
    main()
