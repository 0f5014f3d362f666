// The demo as a child process, one Chromium, and visitors who notice whatever a page does wrong.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

import './rig/names.mjs';

const here = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const MIDGATE = process.env.MIDGATE_BIN ?? here('../../target/debug/midgate');
const CHROMIUM = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';
const SCREENSHOTS = process.env.MIDGATE_SCREENSHOTS;
const SIZES = { desktop: { width: 1280, height: 800 }, phone: { width: 360, height: 780 } };
const SCHEMES = ['light', 'dark'];
/** The longest that a child may take to start, or a page to come; milliseconds. */
const PATIENCE = 15_000;
/** WCAG 2.2 §1.4.3: contrast of text, and of large text. */
const CONTRAST = { usual: 4.5, large: 3 };

/** What the gateway's own pages say: language, section, key. */
export const TEXTS = Object.fromEntries(
  ['en', 'de', 'fr', 'it'].map((tag) => [tag, JSON.parse(readFileSync(here(`../../src/pages/texts/${tag}.json`)))]),
);

/** `midgate demo` on a free port. */
export class Demo {
  /** Everything that the process printed. */
  log = '';

  static async start() {
    const demo = new Demo();
    const port = await freePort();
    demo.origin = `http://localhost:${port}`;
    demo.child = spawn(MIDGATE, ['demo', '--port', String(port)], { stdio: ['ignore', 'pipe', 'pipe'] });
    await once(demo.child, 'spawn');
    for (const stream of [demo.child.stdout, demo.child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => (demo.log += text));
    }
    // Whatever ends this process ends the child too.
    process.on('exit', () => demo.child.kill('SIGKILL'));
    for (const signal of ['SIGINT', 'SIGTERM']) {
      process.once(signal, () => process.exit(1));
    }
    await demo.#answers();
    return demo;
  }

  async #answers() {
    for (const end = Date.now() + PATIENCE; Date.now() < end; await wait(20)) {
      if (this.child.exitCode !== null) {
        break;
      }
      const answer = await fetch(`${this.origin}/public/`).catch(() => undefined);
      if (answer?.ok) {
        return;
      }
    }
    this.child.kill('SIGKILL');
    throw new Error(`the demo does not answer at ${this.origin}:\n${this.log}`);
  }

  async stop() {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      this.child.kill('SIGINT');
      await once(this.child, 'exit');
    }
  }
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Chromium without a window, on a fresh profile that is deleted with it. */
export function launch() {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/** Somebody with cookies of their own, at one gateway. */
export class Visitor {
  /** What the pages complained about so far. */
  complaints = [];
  /** Every request and its status, as `POST /path 303`; paths of other origins are absolute. */
  traffic = [];

  static async come(browser, demo, settings = {}) {
    const visitor = new Visitor();
    visitor.origin = demo.origin;
    visitor.context = await browser.newContext({
      baseURL: demo.origin,
      viewport: SIZES.desktop,
      locale: 'en-GB',
      ...settings,
    });
    visitor.context.setDefaultTimeout(PATIENCE);
    await visitor.#listen();
    visitor.page = await visitor.context.newPage();
    return visitor;
  }

  async #listen() {
    const documents = new Set();
    this.context.on('response', (response) => {
      const [request, url] = [response.request(), response.url()];
      const shown = url.startsWith(this.origin) ? url.slice(this.origin.length) : url;
      this.traffic.push(`${request.method()} ${shown.split('?')[0]} ${response.status()}`);
      if (request.isNavigationRequest()) {
        documents.add(url);
      }
    });
    this.context.on('weberror', (error) => this.complaints.push(`script: ${error.error()}`));
    this.context.on('console', (message) => {
      const { url } = message.location();
      // Chromium itself notes the status of a page that is an error page.
      const isStatus = message.text().startsWith('Failed to load resource') && documents.has(url);
      if (['error', 'warning'].includes(message.type()) && !isStatus) {
        this.complaints.push(`console: ${message.text()} (${url})`);
      }
    });
    await this.context.addInitScript(() => {
      addEventListener('securitypolicyviolation', (event) => {
        console.error(`policy: ${event.violatedDirective} forbids ${event.blockedURI}`);
      });
    });
  }

  leave() {
    return this.context.close();
  }
}

/** Presses the button of a person on the phone page. */
export const approve = (page, name = 'Zoë Müller-François') =>
  page.getByRole('button', { name: `Approve as ${name}` }).click();

/** Waits until the browser is at a page of the gateway's origin, loaded. */
export const arrive = (page, target) =>
  page.waitForURL((url) => url.hostname === 'localhost' && url.pathname + url.search + url.hash === target);

/** Opens a page that wants a sign-in, and signs in. */
export async function signIn(page, target) {
  await page.goto(target);
  await approve(page);
  await arrive(page, target);
}

/** Adds a form to the page in view, as an application has them, and sends it. */
export function post(page, action, fields = {}) {
  return page.evaluate(
    ([action, fields]) => {
      const form = Object.assign(document.createElement('form'), { method: 'post', action });
      for (const [name, value] of Object.entries(fields)) {
        form.append(Object.assign(document.createElement('input'), { type: 'hidden', name, value }));
      }
      document.body.append(form);
      form.submit();
    },
    [action, fields],
  );
}

/** Does something that opens a page, and gives the status of the page that it ends on. */
export async function statusAfter(page, act) {
  const last = page.waitForResponse(
    (response) => response.request().isNavigationRequest() && (response.status() < 300 || response.status() > 399),
  );
  await act();
  const status = (await last).status();
  await page.waitForLoadState();
  return status;
}

/**
 * Looks at a page at both widths, in light and in dark, and keeps a picture of each where pictures are wanted.
 * Gives what is wrong: text that cannot be read, content that is wider than the window.
 */
export async function look(page, name) {
  const faults = [];
  for (const [width, size] of Object.entries(SIZES)) {
    await page.setViewportSize(size);
    for (const colorScheme of SCHEMES) {
      await page.emulateMedia({ colorScheme });
      const found = await page.evaluate(inspect, CONTRAST);
      faults.push(...found.map((fault) => `${name} (${width}, ${colorScheme}): ${fault}`));
      if (SCREENSHOTS) {
        mkdirSync(SCREENSHOTS, { recursive: true });
        const file = path.join(SCREENSHOTS, `${name}.${width}.${colorScheme}.png`);
        // To hide the caret a style would be added, which the pages' policy forbids.
        await page.screenshot({ path: file, fullPage: true, caret: 'initial' });
      }
    }
  }
  await page.emulateMedia({ colorScheme: null });
  await page.setViewportSize(SIZES.desktop);
  return faults;
}

/** Runs in the page. */
function inspect(wanted) {
  const faults = [];
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth > clientWidth) {
    faults.push(`${scrollWidth - clientWidth} px wider than the window`);
  }
  const read = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = colour.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, alpha = 1] = read(getComputedStyle(at).backgroundColor);
      if (alpha === 1) {
        return [r, g, b];
      }
    }
    return matchMedia('(prefers-color-scheme: dark)').matches ? [18, 18, 18] : [255, 255, 255];
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const [text, element] = [texts.currentNode.data.trim(), texts.currentNode.parentElement];
    if (!text || !element.checkVisibility()) {
      continue;
    }
    const style = getComputedStyle(element);
    const [a, b] = [read(style.color).slice(0, 3), ground(element)].map(luminance);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (isLarge ? wanted.large : wanted.usual)) {
      faults.push(`"${text}" has a contrast of ${ratio.toFixed(2)}`);
    }
  }
  return faults;
}
