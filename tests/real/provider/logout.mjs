// Signing out, at a provider that has no end-session endpoint.

import assert from 'node:assert/strict';
import { afterEach, describe } from 'node:test';

import { form, isSignedIn, running, signedIn, stopAll, story } from '../rig.mjs';

const PATH = '/.midgate/logout';

describe('a logout', () => {
  afterEach(stopAll);

  story('is confirmed on a page and ends the session for good', async () => {
    const { gateway } = await running();
    const browser = await signedIn(gateway);
    const kept = browser.twin();
    const question = await browser.open(PATH);
    assert.equal(question.status, 200);
    assert.ok(await isSignedIn(browser), 'a question ends nothing');
    assert.ok(form(question).fields.some(([name, value]) => name === 'csrf' && value !== ''));
    const answer = await browser.submit(question);
    assert.equal(answer.status, 303);
    assert.equal(browser.jar.find('midgate'), undefined);
    const page = await browser.follow(answer);
    assert.deepEqual([page.status, page.url], [200, `${gateway.url}/.midgate/logged-out`]);
    // Whoever kept the cookie has nothing in hand.
    const program = await kept.fetch('/page');
    assert.deepEqual([program.status, program.json.error], [401, 'login_required']);
    assert.equal((await kept.open('/page')).status, 302);
  });

  story('from a page of our own needs no token', async () => {
    const { gateway } = await running();
    const browser = await signedIn(gateway);
    const kept = browser.twin();
    const headers = { 'Sec-Fetch-Site': 'same-origin' };
    const answer = await browser.fetch(PATH, { method: 'POST', headers });
    assert.deepEqual([answer.status, answer.location], [303, '/.midgate/logged-out']);
    assert.equal((await kept.fetch('/page')).status, 401);
  });

  story('needs the token of this very session from anywhere else', async () => {
    const { gateway } = await running();
    const browser = await signedIn(gateway);
    const other = await signedIn(gateway);
    const foreign = form(await other.open(PATH)).fields;
    const own = form(await browser.open(PATH)).fields;
    const post = (site, fields) =>
      browser.fetch(PATH, {
        method: 'POST',
        headers: { 'Sec-Fetch-Site': site, 'Content-Type': 'application/x-www-form-urlencoded' },
        body: new URLSearchParams(fields).toString(),
      });
    for (const site of ['cross-site', 'same-site']) {
      assert.equal((await post(site, [])).status, 403, site);
      assert.equal((await post(site, foreign)).status, 403, site);
    }
    assert.ok(await isSignedIn(browser));
    assert.equal((await post('same-site', own)).status, 303);
    assert.ok(!(await isSignedIn(browser)));
    assert.ok(await isSignedIn(other));
  });

  story('by a page of another site fails, since the cookie stays at home', async () => {
    const { provider, gateway } = await running();
    const browser = await signedIn(gateway);
    const text = `<form method="post" action="${gateway.url}${PATH}"></form>`;
    const evil = { url: `${provider.issuer}/evil`, header: () => undefined, text };
    const answer = await browser.submit(evil);
    assert.deepEqual([answer.status, answer.cookies], [403, []]);
    assert.ok(await isSignedIn(browser));
  });

  story('is followed by a login that makes a new session', async () => {
    const { gateway } = await running();
    const browser = await signedIn(gateway);
    const { value } = browser.jar.find('midgate');
    await browser.submit(await browser.open(PATH));
    assert.equal((await browser.visit('/page')).status, 200);
    assert.notEqual(browser.jar.find('midgate').value, value);
  });
});
