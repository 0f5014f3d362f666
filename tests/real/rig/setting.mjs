// The usual setting of a story: the certified provider, an application, and a gateway between them.

import assert from 'node:assert/strict';

import { Application } from './application.mjs';
import { Browser } from './browser.mjs';
import { Certified } from './certified.mjs';
import { Gateway } from './gateway.mjs';

const MAPPING = '[provider.claims]\nname = "name"\n';

// Two levels, and a plain login that wishes for the lower one.
export const LADDER = 'acr_values = "low"\nacr_ladder = [["low"], ["high"]]\n';

// What every login cookie's name starts with.
export const LOGIN_COOKIE = /^midgate-login-/;

// A part of a configuration that names the provider; `more` follows in its table.
export function toml(provider, more = LADDER) {
  const text = JSON.stringify;
  return `
[[provider]]
id = "op"
issuer = ${text(provider.issuer)}
client_id = ${text(provider.client.client_id)}
${provider.client.client_secret ? `client_secret = ${text(provider.client.client_secret)}\n` : ''}scopes = ["openid", "profile"]
${more}${MAPPING}`;
}

// Everything but a running gateway. `tables` stand before the provider; `routes` is made of the application's address.
// `bearer` of the provider's issuer.
export async function setting({ client, offers, more, tables = '', bearer = () => '', routes = plainRoute } = {}) {
  const gateway = await Gateway.place();
  const provider = await Certified.start(gateway.url, client, offers);
  const application = await Application.start();
  const issuers = bearer(provider.issuer);
  const config = tables + toml(provider, more) + issuers + routes(`http://127.0.0.1:${application.port}`);
  return { gateway, provider, application, start: () => gateway.start(config) };
}

// The same with a running gateway and a browser.
export async function running(given) {
  const all = await setting(given);
  await all.start();
  return { ...all, browser: new Browser(all.gateway.url) };
}

function plainRoute(up) {
  return `[[route]]\nupstream = "${up}"\n`;
}

// Signs a browser in, and sees that the page asked for came of it.
export async function signedIn(gateway, address = '/page') {
  const browser = new Browser(gateway.url);
  const page = await browser.visit(address);
  assert.equal(page.status, 200, page.text);
  assert.equal(page.url, gateway.url + address);
  return browser;
}

// Whether the gateway knows the browser.
export async function isSignedIn(browser) {
  return (await browser.fetch('/.midgate/session')).status === 200;
}

// The session cookie that an answer sets.
export function sessionCookie(page) {
  return page.set.find(({ name }) => name === 'midgate');
}

// The headers of this name that an application saw, in any case but in no other spelling.
export function named(seen, name) {
  return seen.headers.filter(([known]) => known.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
}
