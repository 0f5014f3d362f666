// Signing out: at a provider that has no end-session endpoint, at one that has, and by the provider itself.

import assert from 'node:assert/strict';
import { afterEach, describe } from 'node:test';

import { form, isSignedIn, policy, running, signedIn, stopAll, story, until } from '../rig.mjs';

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

// The client as a provider knows it that takes part in logouts.
const client = (url) => ({
  post_logout_redirect_uris: [`${url}/.midgate/logged-out`],
  backchannel_logout_uri: `${url}/.midgate/logout/backchannel`,
  backchannel_logout_session_required: true,
});

// Says yes to the provider's own question.
const agree = (browser, question) => browser.submit(question, ['logout', 'yes']);

describe('a logout at the provider', () => {
  afterEach(stopAll);

  story('follows our own, and comes back to the signed-out page', async () => {
    const { provider, gateway } = await running({ client });
    const browser = await signedIn(gateway);
    const kept = browser.twin();
    const ours = await browser.open(PATH);
    assert.ok(policy(ours, 'form-action').includes(provider.issuer));
    const answer = await browser.submit(ours);
    const address = new URL(answer.location);
    assert.equal(address.origin + address.pathname, `${provider.issuer}/session/end`);
    assert.equal(address.searchParams.get('post_logout_redirect_uri'), `${gateway.url}/.midgate/logged-out`);
    assert.match(address.searchParams.get('id_token_hint'), /^eyJ/);
    assert.equal((await kept.fetch('/page')).status, 401, 'our session is over before the provider asks');
    const question = await browser.follow(answer);
    assert.equal(question.status, 200, question.text);
    const page = await browser.follow(await agree(browser, question));
    assert.equal(page.status, 200);
    assert.equal(new URL(page.url).pathname, '/.midgate/logged-out');
    assert.equal(new URL(page.url).searchParams.get('state'), address.searchParams.get('state'));
    assert.equal(browser.jar.find('midgate-logout'), undefined);
    assert.deepEqual(provider.trouble, []);
    // The provider's own session is over too: it asks the person again.
    let asked = 0;
    const { person } = provider;
    provider.person = (params) => {
      asked += 1;
      return person(params);
    };
    assert.equal((await browser.visit('/page')).status, 200);
    assert.equal(asked, 1);
  });

  story('leads on to the page that was asked for', async () => {
    const { gateway } = await running({ client });
    const browser = await signedIn(gateway);
    const question = await browser.follow(await browser.submit(await browser.open(`${PATH}?rd=/public/bye`)));
    const done = await agree(browser, question);
    const back = await browser.follow(done, (address) => address === `${gateway.url}/public/bye`);
    assert.deepEqual([back.status, back.location], [303, '/public/bye']);
  });

  story('that the person begins there ends our session by the back channel, and no other', async () => {
    const { provider, gateway } = await running({ client });
    const browser = await signedIn(gateway);
    const other = await signedIn(gateway);
    assert.ok(await isSignedIn(browser));
    await agree(browser, await browser.visit(`${provider.issuer}/session/end`));
    // The provider answers the person first and speaks to us then.
    await until('the session is over', async () => !(await isSignedIn(browser)));
    assert.deepEqual(provider.trouble, []);
    const program = await browser.fetch('/page');
    assert.deepEqual([program.status, program.json.error], [401, 'login_required']);
    assert.ok(await isSignedIn(other), 'a session of another browser, by sid');
  });
});
