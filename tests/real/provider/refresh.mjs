// Refresh tokens of the certified provider, which rotates them and revokes everything when an old one comes again.

import assert from 'node:assert/strict';
import { afterEach, describe } from 'node:test';

import { isSignedIn, named, running, signedIn, stopAll, story, until } from '../rig.mjs';

const client = { grant_types: ['authorization_code', 'refresh_token'] };
const routes = (up) => `[[route]]\nupstream = "${up}"\npass_token = "access_token"\n`;

// A setting whose access tokens live a few seconds, and somebody who is signed in.
async function shortLived() {
  const all = await running({ client, routes });
  all.provider.accessTokenLife = 2;
  return { ...all, browser: await signedIn(all.gateway) };
}

describe('a refresh', () => {
  afterEach(stopAll);

  story('keeps a session going over one access token after another', async () => {
    const { provider, browser } = await shortLived();
    const passed = new Set();
    const before = (await browser.fetch('/.midgate/session')).json;
    await until('three refreshes', async () => {
      const page = await browser.fetch('/page');
      assert.equal(page.status, 200);
      const tokens = named(page.json, 'Authorization');
      assert.equal(tokens.length, 1);
      passed.add(tokens[0]);
      return passed.size === 4;
    });
    assert.equal(provider.calls.authorization, 1, 'nobody was asked again');
    assert.equal(provider.calls.token, provider.calls.userinfo, 'UserInfo once for each');
    const after = (await browser.fetch('/.midgate/session')).json;
    for (const name of ['sub', 'iss', 'acr', 'amr', 'auth_time', 'created', 'expires', 'user_key']) {
      assert.deepEqual(after[name], before[name], name);
    }
    assert.deepEqual(provider.trouble, []);
  });

  story('that the provider refuses ends the session, and the next page is a login', async () => {
    const { provider, browser } = await shortLived();
    provider.revoke();
    await until('the session has ended', async () => {
      await browser.fetch('/page');
      return !(await isSignedIn(browser));
    });
    const refused = await browser.fetch('/page');
    assert.deepEqual([refused.status, refused.json.error], [401, 'login_required']);
    const { token } = provider.calls;
    assert.equal((await browser.visit('/page')).status, 200);
    assert.deepEqual([provider.calls.authorization, provider.calls.token], [2, token + 1]);
  });

  story('that the provider cannot answer costs no session', async () => {
    const { provider, browser } = await shortLived();
    await provider.stop();
    const begun = Date.now();
    await until('the token has long ended', async () => {
      assert.equal((await browser.fetch('/page')).status, 200);
      return Date.now() - begun > 4000;
    });
    await provider.startAgain();
    const { userinfo } = provider.calls;
    await until('the session is refreshed after all', async () => {
      assert.equal((await browser.fetch('/page')).status, 200);
      return provider.calls.userinfo > userinfo;
    });
    assert.ok(await isSignedIn(browser));
  });
});
