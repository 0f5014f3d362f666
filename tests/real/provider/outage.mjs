// What breaks at the provider or at the gateway, and what goes on without anybody's help.

import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { afterEach, describe } from 'node:test';

import { Browser, LADDER, isSignedIn, running, setting, signedIn, stopAll, story, until } from '../rig.mjs';

describe('new keys at the provider', () => {
  afterEach(stopAll);

  story('between two logins are fetched, and both sign in', async () => {
    const { provider, gateway } = await running();
    await signedIn(gateway);
    const before = provider.calls.jwks;
    provider.rotate();
    await signedIn(gateway);
    assert.equal(provider.calls.jwks, before + 1);
    await signedIn(gateway);
    assert.equal(provider.calls.jwks, before + 1, 'known keys are not asked for again');
  });

  story('in the middle of a login are fetched too', async () => {
    const { provider, gateway, browser } = await running();
    await signedIn(gateway);
    const callback = await browser.toProvider(await browser.open('/page'));
    provider.rotate();
    assert.equal((await browser.step(callback)).status, 303);
    assert.ok(await isSignedIn(browser));
  });
});

describe('a provider', () => {
  afterEach(stopAll);

  story('that is down at the start is a page until it is there', async () => {
    const { provider, gateway, start } = await setting();
    await provider.stop();
    await start();
    const browser = new Browser(gateway.url);
    const page = await browser.open('/page');
    assert.ok([502, 504].includes(page.status), `${page.status}`);
    assert.match(page.header('content-type'), /^text\/html/);
    await provider.startAgain();
    await until('the login begins', async () => (await browser.open('/page')).status === 302);
    await signedIn(gateway);
  });

  story('that dies between redirect and callback is a page, and sessions go on', async () => {
    const { provider, gateway, browser } = await running();
    const signed = await signedIn(gateway);
    const callback = await browser.toProvider(await browser.open('/page'));
    await provider.stop();
    const page = await browser.step(callback);
    assert.ok([502, 504].includes(page.status), `${page.status}`);
    assert.ok(!(await isSignedIn(browser)));
    assert.equal((await signed.fetch('/page')).status, 200);
    await provider.startAgain();
    assert.equal((await browser.visit('/page')).status, 200);
  });

  story('that takes a call and never answers is a 504 page after this one call', async () => {
    const silent = async (endpoint) => {
      const { provider, gateway, browser } = await running();
      provider.silent.add(endpoint);
      const page = await browser.visit('/page');
      assert.equal(page.status, 504, endpoint);
      assert.equal(provider.calls[endpoint], 1, endpoint);
      assert.ok(!(await isSignedIn(browser)), endpoint);
      provider.silent.clear();
      await signedIn(gateway);
    };
    await Promise.all(['token', 'userinfo'].map(silent));
  });
});

describe('a restart of the gateway', () => {
  afterEach(stopAll);

  for (const mode of ['query', 'form_post']) {
    story(`in the middle of a login by ${mode} loses nothing when keys are kept`, async () => {
      const { start, gateway } = await setting({
        tables: '[session]\nkeys_file = "keys"\n',
        more: `response_mode = "${mode}"\n${LADDER}`,
      });
      await start();
      const browser = new Browser(gateway.url);
      const answer = await browser.toProvider(await browser.open('/page'));
      await gateway.restart();
      const done = mode === 'query' ? await browser.step(answer) : await browser.submit(await browser.submit(answer));
      assert.deepEqual([done.status, done.location], [303, '/page']);
      assert.ok(await isSignedIn(browser));
      assert.equal(statSync(gateway.file('keys')).mode & 0o777, 0o600);
    });
  }

  story('in the middle of a login asks for another try when keys are not kept', async () => {
    const { provider, gateway, browser } = await running();
    const callback = await browser.toProvider(await browser.open('/page'));
    await gateway.restart();
    assert.equal((await browser.step(callback)).status, 400);
    assert.equal(provider.calls.token, 0);
    assert.equal((await browser.visit('/page')).status, 200);
  });
});
