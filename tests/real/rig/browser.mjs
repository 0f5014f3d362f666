// A browser without a window: navigations, redirects by hand, forms, and the rules that bind real ones.
// Source: W3C Fetch Metadata; Fetch (Origin header); CSP 3 §6.4.1 (form-action, also for redirects).

import { send } from './http.mjs';
import { Jar, site } from './jar.mjs';

const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' };

export class Browser {
  // One whose own pages are at `home`; every other address is given whole.
  constructor(home, jar = new Jar()) {
    this.home = home;
    this.jar = jar;
    // Every request with its answer, the oldest first.
    this.trail = [];
  }

  // A browser that holds the same cookies from now on.
  twin() {
    return new Browser(this.home, this.jar.copy());
  }

  // Opens an address as if typed, without following redirects.
  open(address, headers = {}) {
    return this.navigate({ method: 'GET', address, initiator: null, headers });
  }

  // Opens an address and follows redirects to a page.
  async visit(address) {
    return this.follow(await this.open(address));
  }

  // Asks as a script of an own page does: the target goes out byte for byte, and no redirect is followed.
  fetch(target, { method = 'GET', headers = {}, body } = {}) {
    const modes = { 'Sec-Fetch-Mode': 'cors', 'Sec-Fetch-Dest': 'empty', 'Sec-Fetch-Site': 'same-origin' };
    const all = { ...modes, Accept: 'application/json', ...headers };
    return this.exchange({ method, address: target, initiator: this.home, isNavigation: false, headers: all, body });
  }

  // Takes one redirect.
  step(page) {
    const address = new URL(page.location, page.url).href;
    mayPost(page.cause.formAction, address);
    const isKept = page.method !== 'GET' && (page.status === 307 || page.status === 308);
    const sent = isKept ? { method: page.method, body: page.sent, headers: FORM } : { method: 'GET' };
    return this.navigate({ ...page.cause, ...sent, address });
  }

  // Takes redirects until there are no more, or until one leads to an address that `stop` names.
  async follow(page, stop = () => false) {
    let now = page;
    for (let left = 20; now.location !== undefined && now.status > 300 && now.status < 400; left -= 1) {
      if (left === 0) throw new Error(`redirects without end: ${this.trail.slice(-4).map(({ url }) => url).join(' ')}`);
      if (stop(new URL(now.location, now.url).href)) return now;
      now = await this.step(now);
    }
    return now;
  }

  // Follows redirects up to the answer of the provider: a redirect to, or a form for, the callback, not yet sent.
  toProvider(page) {
    return this.follow(page, (address) => address.startsWith(`${this.home}/.midgate/callback`));
  }

  // Posts the first form of a page as its button would.
  submit(page) {
    const { action, fields } = form(page);
    const self = new URL(page.url).origin;
    const formAction = policy(page, 'form-action')?.map((source) => (source === "'self'" ? self : source));
    const address = new URL(action || page.url, page.url).href;
    mayPost(formAction, address);
    const isHidden = page.header('referrer-policy') === 'no-referrer';
    const body = new URLSearchParams(fields).toString();
    return this.navigate({ method: 'POST', address, initiator: page.url, isHidden, formAction, body, headers: FORM });
  }

  // A request that shows its answer in the window.
  navigate({ method, address, initiator, isHidden = false, formAction, from: before, body, headers = {} }) {
    const from = distance(initiator, new URL(address, this.home).href, before);
    const all = { 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document', 'Sec-Fetch-Site': from };
    Object.assign(all, { Accept: 'text/html,application/xhtml+xml' }, headers);
    // Without a referrer, a page posts from the origin `null`, even to itself.
    if (method !== 'GET') all.Origin = isHidden ? 'null' : new URL(initiator).origin;
    const cause = { initiator, isHidden, formAction, from };
    return this.exchange({ method, address, initiator, isNavigation: true, headers: all, body, cause });
  }

  async exchange({ method, address, initiator, isNavigation, headers, body, cause }) {
    // A path is sent as it stands; URL would tidy it.
    const url = address.startsWith('/') ? this.home + address : new URL(address).href;
    const { origin, host, port } = new URL(url);
    const target = address.startsWith('/') ? address : url.slice(origin.length).replace(/#.*/, '');
    const cookies = this.jar.toSend({ url, initiator, method, isNavigation });
    const all = { ...headers };
    const line = cookies.map(({ name, value }) => `${name}=${value}`);
    if (line.length > 0) all.Cookie = line.join('; ');
    const answer = await send({ port, host, method, target, headers: all, body });
    answer.set = this.jar.keep(url, answer.all('set-cookie'));
    answer.cookies = cookies.map(({ name }) => name);
    Object.assign(answer, { url, method, cause, sent: body, sentHeaders: all });
    this.trail.push(answer);
    return answer;
  }
}

// How far the cause of a request is from its target; a redirect never brings it nearer again.
function distance(initiator, url, before) {
  if (initiator === null) return 'none';
  const words = ['same-origin', 'same-site', 'cross-site'];
  const isNear = new URL(initiator).origin === new URL(url).origin;
  const now = isNear ? 0 : site(initiator) === site(url) ? 1 : 2;
  return words[Math.max(now, words.indexOf(before))];
}

// The sources of a directive of the page's Content-Security-Policy.
export function policy(page, directive) {
  const parts = (page.header('content-security-policy') ?? '').split(';').map((part) => part.trim().split(/\s+/));
  return parts.find(([name]) => name === directive)?.slice(1);
}

// Browsers block a form, and a redirect after it, that `form-action` does not name.
function mayPost(formAction, address) {
  if (!formAction || formAction.includes(new URL(address).origin)) return;
  throw new Error(`form-action ${formAction.join(' ')} blocks ${address}`);
}

// Action and named inputs of the first form of a page.
export function form(page) {
  const [whole] = /<form[^>]*>[^]*?<\/form>/i.exec(page.text) ?? [];
  if (!whole) throw new Error(`no form in ${page.url}: ${page.status} ${page.text}`);
  const [head] = /<form[^>]*>/i.exec(whole);
  const inputs = whole.match(/<input[^>]*>/gi) ?? [];
  const fields = inputs.map((input) => [attribute(input, 'name'), attribute(input, 'value') ?? '']);
  return { action: attribute(head, 'action'), fields: fields.filter(([name]) => name) };
}

// Where the links of a page lead.
export function links(page) {
  return (page.text.match(/<a\s[^>]*>/gi) ?? []).map((tag) => attribute(tag, 'href'));
}

function attribute(tag, name) {
  const [, value] = new RegExp(`\\s${name}="([^"]*)"`, 'i').exec(tag) ?? [];
  return value === undefined ? undefined : unescaped(value);
}

function unescaped(text) {
  const named = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
  return text.replace(/&(?:#x([\da-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, name) => {
    if (name) return named[name] ?? whole;
    return String.fromCodePoint(hex ? Number.parseInt(hex, 16) : Number(decimal));
  });
}
