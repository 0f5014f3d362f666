// Logins of the real gateway at the certified OpenID provider, which others wrote.
// Provider and gateway are of different sites: http://127.0.0.1:<port> and http://localhost:<port>.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { afterEach, describe } from 'node:test';

import { Browser, LADDER, LOGIN_COOKIE, form, isSignedIn, links, named, policy } from './rig.mjs';
import { running, sessionCookie, setting, signedIn, stopAll, story } from './rig.mjs';

import './provider/bearer.mjs';
import './provider/levels.mjs';
import './provider/logout.mjs';
import './provider/outage.mjs';
import './provider/protocol.mjs';
import './provider/refresh.mjs';

// base64url of SHA-256(issuer, zero, subject).
function userKey(issuer, subject) {
  return createHash('sha256').update(`${issuer}\0${subject}`).digest('base64url');
}

describe('a login by query', () => {
  afterEach(stopAll);

  story('leads from the first page to the application, which learns who came', async () => {
    const { provider, gateway, browser } = await running();
    const start = await browser.open('/deep/page?x=1&y=%2F');
    assert.equal(start.status, 302);
    const callback = await browser.toProvider(start);
    const done = await browser.step(callback);
    assert.equal(done.cookies.filter((name) => LOGIN_COOKIE.test(name)).length, 1);
    assert.deepEqual([done.status, done.location], [303, '/deep/page?x=1&y=%2F']);
    assert.ok(sessionCookie(done).httpOnly);
    assert.equal(sessionCookie(done).sameSite, 'Lax');
    const seen = (await browser.follow(done)).json;
    assert.equal(seen.target, '/deep/page?x=1&y=%2F');
    assert.deepEqual(named(seen, 'X-Auth-User'), [userKey(provider.issuer, 'zoe')]);
    assert.deepEqual(named(seen, 'X-Auth-Name'), ['Zoë Müller-François']);
    assert.deepEqual(named(seen, 'X-Auth-Acr'), ['low']);
    assert.deepEqual(named(seen, 'X-Auth-Provider'), ['op']);
    assert.deepEqual(named(seen, 'Cookie'), []);
    const [asked] = provider.asked;
    assert.equal(asked.response_mode, undefined);
    assert.equal(asked.response_type, 'code');
    assert.equal(asked.code_challenge_method, 'S256');
    assert.equal(asked.redirect_uri, `${gateway.url}/.midgate/callback`);
    assert.equal(asked.scope, 'openid profile');
  });

  story('calls the token endpoint and UserInfo once, and so does the next', async () => {
    const { provider, gateway } = await running();
    for (const times of [1, 2]) {
      const browser = await signedIn(gateway);
      assert.equal((await browser.fetch('/again')).status, 200);
      assert.deepEqual([provider.calls.token, provider.calls.userinfo], [times, times]);
    }
  });

  story('that the person refuses is a 403 page, and the way to another try', async () => {
    const { provider, browser } = await running();
    const { person } = provider;
    provider.person = () => ({ error: 'access_denied', error_description: 'not <b>today</b>' });
    const page = await browser.visit('/page');
    assert.equal(page.status, 403);
    assert.ok(!page.text.includes('<b>'), page.text);
    assert.equal(provider.calls.token, 0);
    assert.ok(!(await isSignedIn(browser)));
    provider.person = person;
    const again = links(page).find((address) => address.startsWith('/.midgate/login'));
    assert.equal((await browser.visit(again)).json.target, '/page');
  });

  story('that another browser began is refused before any call', async () => {
    const { provider, gateway, browser } = await running();
    const callback = await browser.toProvider(await browser.open('/page'));
    const other = new Browser(gateway.url);
    const page = await other.open(callback.location);
    assert.equal(page.status, 400);
    assert.deepEqual(page.set, []);
    assert.equal(provider.calls.token, 0);
    assert.equal((await browser.visit(callback.location)).status, 200);
  });

  story('that the provider begins leads to the page it names, at this provider and this gateway only', async () => {
    const { provider, gateway, browser } = await running();
    const login = (iss, target) => `/.midgate/login?${new URLSearchParams({ iss, target_link_uri: target })}`;
    assert.equal((await browser.visit(login(provider.issuer, `${gateway.url}/page`))).json.target, '/page');
    const other = new Browser(gateway.url);
    for (const address of [
      login('https://evil.test', `${gateway.url}/page`),
      login(`${provider.issuer}/`, `${gateway.url}/page`),
      login(provider.issuer, 'https://evil.test/page'),
      login(provider.issuer, `${provider.issuer}/page`),
    ]) {
      const page = await other.open(address);
      assert.deepEqual([page.status, page.set], [400, []], address);
    }
    assert.equal(provider.calls.authorization, 1);
  });

  story('whose answer does not name the issuer that was promised is refused before any call', async () => {
    const { provider, browser } = await running();
    for (const iss of [undefined, 'https://evil.test', `${provider.issuer}/`]) {
      const { location } = await browser.toProvider(await browser.open('/page'));
      const address = new URL(location);
      assert.equal(address.searchParams.get('iss'), provider.issuer);
      address.searchParams.delete('iss');
      if (iss) address.searchParams.set('iss', iss);
      assert.equal((await browser.open(address.href)).status, 502, iss);
    }
    assert.equal(provider.calls.token, 0);
    assert.ok(!(await isSignedIn(browser)));
  });

  story('whose callback comes twice makes no second call', async () => {
    const { provider, browser } = await running();
    const callback = await browser.toProvider(await browser.open('/page'));
    const before = browser.twin();
    assert.equal((await browser.step(callback)).status, 303);
    const calls = { ...provider.calls };
    const again = await browser.open(callback.location);
    assert.deepEqual([again.status, again.location], [303, '/page']);
    // With the login cookie, but without the session that came of it.
    const replayed = await before.open(callback.location);
    assert.equal(replayed.status, 400);
    assert.ok(!(await isSignedIn(before)));
    assert.deepEqual(provider.calls, calls);
    assert.ok(await isSignedIn(browser));
  });
});

describe('a login by form_post', () => {
  afterEach(stopAll);
  const byForm = { more: `response_mode = "form_post"\n${LADDER}` };

  story('works though its first POST brings no cookie', async () => {
    const { provider, gateway, browser } = await running(byForm);
    const start = await browser.open('/deep/page?x=1');
    const [login] = start.set.filter(({ name }) => LOGIN_COOKIE.test(name));
    assert.match(login.line, /; SameSite=Lax/);
    const answer = await browser.toProvider(start);
    assert.equal(provider.asked[0].response_mode, 'form_post');
    assert.equal(new URL(form(answer).action).origin, gateway.url);

    const first = await browser.submit(answer);
    assert.equal(first.sentHeaders['Sec-Fetch-Site'], 'cross-site');
    assert.deepEqual(first.cookies, []);
    assert.equal(browser.jar.find(login.name)?.value, login.value);
    assert.deepEqual([first.status, first.set, provider.calls.token], [200, [], 0]);
    const given = form(answer).fields;
    const kept = form(first).fields.filter(([name]) => given.some(([known]) => known === name));
    assert.deepEqual(kept, given);

    const second = await browser.submit(first);
    assert.equal(second.url, `${gateway.url}/.midgate/callback`);
    assert.equal(second.sentHeaders['Sec-Fetch-Site'], 'same-origin');
    assert.deepEqual(second.cookies, [login.name]);
    assert.deepEqual([second.status, second.location], [303, '/deep/page?x=1']);
    assert.equal(browser.jar.find(login.name), undefined);
    const seen = (await browser.follow(second)).json;
    assert.deepEqual(named(seen, 'X-Auth-Name'), ['Zoë Müller-François']);
    assert.deepEqual([provider.calls.token, provider.calls.userinfo], [1, 1]);
  });

  story('posts again by a script that the page itself allows, and by nothing else', async () => {
    const { browser } = await running(byForm);
    const page = await browser.submit(await browser.toProvider(await browser.open('/page')));
    const scripts = [...page.text.matchAll(/<script>([^]*?)<\/script>/g)].map(([, script]) => script);
    assert.equal(scripts.length, 1);
    const hash = createHash('sha256').update(scripts[0]).digest('base64');
    assert.deepEqual(policy(page, 'script-src'), [`'sha256-${hash}'`]);
    assert.match(page.header('cache-control'), /no-store/);
    assert.equal(page.header('referrer-policy'), 'no-referrer');
  });

  story('that another browser began is refused before any call', async () => {
    const { provider, gateway, browser } = await running(byForm);
    const answer = await browser.toProvider(await browser.open('/page'));
    const other = new Browser(gateway.url);
    const page = await other.submit(await other.submit(answer));
    assert.equal(page.status, 400);
    assert.equal(provider.calls.token, 0);
    assert.ok(!(await isSignedIn(other)));
  });

  story('whose answer is posted twice makes no second call', async () => {
    const { provider, browser } = await running(byForm);
    const answer = await browser.toProvider(await browser.open('/page'));
    await browser.submit(await browser.submit(answer));
    const calls = { ...provider.calls };
    const again = await browser.submit(await browser.submit(answer));
    assert.deepEqual([again.status, again.location], [303, '/page']);
    assert.deepEqual(provider.calls, calls);
  });

  story('that the person refuses is a 403 page', async () => {
    const { provider, browser } = await running(byForm);
    provider.person = () => ({ error: 'access_denied' });
    const answer = await browser.toProvider(await browser.open('/page'));
    const page = await browser.submit(await browser.submit(answer));
    assert.equal(page.status, 403);
    assert.equal(provider.calls.token, 0);
  });
});

describe('an ID token', () => {
  afterEach(stopAll);

  for (const alg of ['RS256', 'PS256', 'ES256', 'EdDSA']) {
    story(`signed with ${alg} is believed where this algorithm is configured, and nowhere else`, async () => {
      const client = { id_token_signed_response_alg: alg };
      const { gateway } = await running({ client, more: `id_token_alg = ["${alg}"]\n${LADDER}` });
      await signedIn(gateway);
      const more = `id_token_alg = ["${alg === 'RS256' ? 'ES256' : 'RS256'}"]\n${LADDER}`;
      const { provider, browser } = await running({ client, more });
      assert.equal((await browser.visit('/page')).status, 502);
      assert.equal(provider.calls.userinfo, 0);
      assert.ok(!(await isSignedIn(browser)));
    });
  }
});

describe('the client secret', () => {
  afterEach(stopAll);
  // The provider takes printable ASCII only, so that `é` has no place here.
  const odd = { client_id: 'a:b%c+d e', client_secret: 's:%+ /=&%2B"\\' };

  for (const method of ['client_secret_basic', 'client_secret_post']) {
    story(`with odd characters is understood by ${method}`, async () => {
      const more = `client_auth = "${method}"\n${LADDER}`;
      const { gateway } = await running({ client: { ...odd, token_endpoint_auth_method: method }, more });
      await signedIn(gateway);
    });
  }

  story('that is wrong is a 502 page, one call and no session', async () => {
    const { gateway, provider, start } = await setting();
    provider.client.client_secret = 'another';
    provider.rotate();
    await start();
    const browser = new Browser(gateway.url);
    const page = await browser.visit('/page');
    assert.equal(page.status, 502);
    assert.deepEqual([provider.calls.token, provider.calls.userinfo], [1, 0]);
    assert.ok(!(await isSignedIn(browser)));
  });
});

describe('the application', () => {
  afterEach(stopAll);

  story('is told the identity once, and nothing that a client claims of itself', async () => {
    const { gateway } = await running();
    const browser = await signedIn(gateway);
    const spoofed = {};
    for (const name of ['X-Auth-User', 'x_auth_name', 'X-AUTH-ACR', 'X_Auth-Provider', 'X-Auth-Document-Id']) {
      spoofed[name] = ['mallory', 'mallory too'];
    }
    for (const name of ['Remote-User', 'X-Forwarded-User', 'X_Remote_User', 'OIDC_CLAIM_sub', 'X-Auth-Role']) {
      spoofed[name] = 'mallory';
    }
    const seen = (await browser.fetch('/page', { headers: spoofed })).json;
    assert.deepEqual(seen.headers.filter(([, value]) => value.includes('mallory')), []);
    assert.deepEqual(named(seen, 'X-Auth-Name'), ['Zoë Müller-François']);
    const families = seen.headers.map(([name]) => name.toLowerCase().replaceAll('_', '-'));
    const ours = families.filter((name) => name.startsWith('x-auth-')).sort();
    assert.deepEqual(ours, ['x-auth-acr', 'x-auth-name', 'x-auth-provider', 'x-auth-user']);
  });

  story('is told nobody where everybody may go, whatever a client claims', async () => {
    const routes = (up) => `[[route]]\nupstream = "${up}"\naccess = "public"\n`;
    const { browser } = await running({ routes });
    const headers = { 'X-Auth-User': 'mallory', X_Auth_User: 'mallory', 'Remote-User': 'mallory' };
    const seen = (await browser.fetch('/page', { headers })).json;
    assert.deepEqual(seen.headers.filter(([, value]) => value.includes('mallory')), []);
  });
});
