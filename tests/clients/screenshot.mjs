// Takes the picture of docs/mqtt/node-red.md: the editor of a running Node-RED with our flow, after each of its buttons was
// pressed.
//
//     node screenshot.mjs URL CHROMIUM PNG
//
// Not part of any test: it needs a browser (Debian's chromium) and playwright-core beside it (`npm ci` of package-lock.json).

import { createRequire } from "node:module";
import { join } from "node:path";

const [url, executablePath, path] = process.argv.slice(2);
if (!path) {
    console.error("usage: node screenshot.mjs URL CHROMIUM PNG");
    process.exit(2);
}
// The packages are where setup.py installed them, which is not beside this file.
const installed = process.env.EDGE_CLIENTS_NODE;
const { chromium } = createRequire(join(installed, "package.json"))("playwright-core");

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1320, height: 860 } });
// What a flow tells the editor before the editor has asked for it is lost.
const listens = new Promise((resolve) => {
    page.on("websocket", (socket) => socket.on("framesent", ({ payload }) => String(payload).includes("debug") && resolve()));
});
await page.goto(url);
// The editor opens the first flow once it has loaded all of them; its nodes are there then.
await page.waitForSelector("#edged-ask-5");
await page.evaluate(() => {
    RED.actions.invoke("core:toggle-palette");
    RED.sidebar.show("debug");
});
await listens;
// A press of the button asks, or takes a picture that a binding has five values for; all are in the sidebar when they have come.
for (const [button, answers] of [["edged-inject-5", 1], ["edged-inject-3", 2], ["edged-camera", 7]]) {
    await page.evaluate((id) => fetch(`inject/${id}`, { method: "POST" }), button);
    await page.waitForFunction((count) => document.querySelectorAll(".red-ui-debug-msg").length >= count, answers);
}
// What was read is shown only where the message is open.
await page.evaluate(() => document.querySelectorAll(".red-ui-debug-msg-object-header").forEach((header) => header.click()));
await page.screenshot({ path });
await browser.close();
