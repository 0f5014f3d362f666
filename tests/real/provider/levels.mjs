// Levels of assurance: what a route demands, what the provider grants.

import assert from 'node:assert/strict';
import { afterEach, describe } from 'node:test';

import { Browser, isSignedIn, named, running, sessionCookie, signedIn, stopAll, story } from '../rig.mjs';

// Two areas of one application, of which one demands more.
const areas = (path, require) => (up) => `
[[route]]
upstream = "${up}"
[[route]]
path = "${path}"
upstream = "${up}"
require = ${require}
`;

const routes = areas('/high/', '{ acr = "high" }');

describe('a level', () => {
  afterEach(stopAll);

  story('that a route demands is asked of the provider and granted', async () => {
    const { provider, browser } = await running({ routes });
    const page = await browser.visit('/high/page');
    assert.deepEqual(named(page.json, 'X-Auth-Acr'), ['high']);
    assert.deepEqual(provider.asked.map((asked) => asked.acr_values), ['high']);
    assert.deepEqual(named((await browser.visit('/page')).json, 'X-Auth-Acr'), ['high']);
    assert.equal(provider.calls.authorization, 1);
  });

  story('that a session lacks is reached by one more login, which replaces the session', async () => {
    const { provider, gateway } = await running({ routes });
    const browser = await signedIn(gateway);
    const before = browser.twin();
    const refused = await browser.fetch('/high/page');
    assert.equal(refused.status, 401);
    assert.deepEqual([refused.json.error, refused.json.acr_values], ['insufficient_user_authentication', 'high']);
    assert.match(refused.header('www-authenticate'), /error="insufficient_user_authentication".*acr_values="high"/);
    const page = await browser.visit('/high/page');
    assert.deepEqual(named(page.json, 'X-Auth-Acr'), ['high']);
    assert.deepEqual(provider.asked.map((asked) => asked.acr_values), ['low', 'high']);
    assert.ok(!(await isSignedIn(before)), 'the weaker session has ended');
  });

  story('that is not granted is a 403 page, no session and no other login', async () => {
    const { provider, browser } = await running({ routes });
    provider.person = () => ({ acr: 'low' });
    const page = await browser.visit('/high/page');
    assert.equal(page.status, 403);
    assert.match(page.header('content-type'), /^text\/html/);
    assert.equal(sessionCookie(page), undefined);
    assert.ok(!(await isSignedIn(browser)));
    assert.deepEqual([provider.calls.authorization, provider.calls.token], [1, 1]);
  });

  story('that is not granted leaves the session as it was', async () => {
    const { provider, gateway } = await running({ routes });
    const browser = await signedIn(gateway);
    provider.person = () => ({ acr: 'low' });
    assert.equal((await browser.visit('/high/page')).status, 403);
    assert.equal(provider.calls.authorization, 2);
    assert.deepEqual(named((await browser.visit('/page')).json, 'X-Auth-Acr'), ['low']);
    assert.equal((await browser.fetch('/high/page')).status, 401);
  });

  story('that the provider does not name is none', async () => {
    const { provider, gateway } = await running({ routes });
    provider.person = () => ({});
    const browser = await signedIn(gateway);
    assert.deepEqual(named((await browser.visit('/page')).json, 'X-Auth-Acr'), []);
    assert.equal((await browser.visit('/high/page')).status, 403);
  });

  story('that a visitor asks for in the address counts like a demand', async () => {
    const { provider, gateway } = await running({ routes });
    const raised = new Browser(gateway.url);
    const page = await raised.visit('/.midgate/login?rd=/page&acr=high');
    assert.deepEqual(named(page.json, 'X-Auth-Acr'), ['high']);
    provider.person = () => ({ acr: 'low' });
    const weak = new Browser(gateway.url);
    assert.equal((await weak.visit('/.midgate/login?rd=/page&acr=high')).status, 403);
    assert.ok(!(await isSignedIn(weak)));
  });
});

describe('freshness', () => {
  afterEach(stopAll);

  story('is reached by signing in anew, though the provider still knows the person', async () => {
    const aged = areas('/fresh/', '{ max_age = "15m" }');
    const { provider, gateway } = await running({ routes: aged });
    const anHourAgo = Math.floor(Date.now() / 1000) - 3600;
    provider.person = () => ({ acr: 'low', ts: anHourAgo });
    const browser = await signedIn(gateway);
    provider.person = () => ({ acr: 'low' });
    assert.equal((await browser.visit('/fresh/page')).status, 200);
    const { prompt, max_age: maxAge } = provider.asked[1];
    assert.deepEqual([prompt, Number(maxAge)], ['login', 900]);
    const again = await signedIn(gateway, '/fresh/page');
    provider.person = () => ({ acr: 'low', ts: anHourAgo });
    assert.equal((await again.visit('/.midgate/login?rd=/fresh/page')).status, 403);
  });
});
