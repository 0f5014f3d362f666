// Other proxies before the application, which ask the real midgate: the files of deploy/examples as they are.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { Application, Browser, Certified, Gateway, LADDER, isSignedIn, named, send } from './rig.mjs';
import { example, freePort, outer, program, stopAll, story, toml } from './rig.mjs';

const SPOOFED = {
  'X-Auth-User': ['mallory', 'root'],
  'X-Auth-Name': 'mallory',
  'X-Auth-Document-Id': 'X123',
  'X-Auth-Acr': 'high',
  'X-Auth-Provider': 'mallory',
};
const ALIASES = { X_Auth_User: 'mallory', 'X-Auth_Acr': 'high', X_AUTH_DOCUMENT_ID: 'X123', 'x_auth-name': 'mallory' };

// The example's routes, with the level that the simulated provider knows.
const routes = (name) => {
  const text = example(`${name}/gateway.toml`, [['mid_al3_any', 'high']]);
  return text.slice(text.indexOf('[[route]]'));
};

for (const name of ['nginx', 'caddy', 'traefik', 'envoy']) {
  const isThere = program(name) !== undefined;
  const isNginx = name === 'nginx';
  describe(`${name} asks midgate`, { skip: isThere ? false : `${name} is not installed: tests/setup.sh proxies` }, () => {
    let application;
    let gateway;
    let provider;
    let port;
    let browser;

    before(async () => {
      application = await Application.start();
      gateway = await Gateway.place();
      port = await freePort();
      gateway.url = `http://localhost:${port}`;
      provider = await Certified.start(gateway.url);
      await gateway.start(`trusted_proxies = ["127.0.0.1"]\n${toml(provider, LADDER)}${routes(name)}`);
      await outer(name, { port, asked: gateway.port, up: application.port });
    });
    after(stopAll);

    const byHand = (target, rest = {}) => send({ port, host: `localhost:${port}`, target, ...rest });
    const session = () => ({ Cookie: `midgate=${browser.jar.find('midgate').value}` });

    story('a login leads to the page that was asked for, and the application knows who it is', async () => {
      browser = new Browser(gateway.url);
      const page = await browser.visit('/page?a=b&rd=/c');
      assert.deepEqual([page.status, page.url], [200, `${gateway.url}/page?a=b&rd=/c`], page.text);
      const seen = page.json;
      assert.deepEqual(named(seen, 'X-Auth-Name'), ['Zoë Müller-François']);
      assert.deepEqual(named(seen, 'X-Auth-Acr'), ['low']);
      assert.deepEqual(named(seen, 'X-Auth-Provider'), ['op']);
      assert.match(named(seen, 'X-Auth-User')[0], /^[\w-]{43}$/);
    });

    story('no identity of the client arrives, whatever it sends', async () => {
      const seen = (await browser.fetch('/x', { headers: SPOOFED })).json;
      assert.deepEqual(named(seen, 'X-Auth-Acr'), ['low']);
      assert.equal(named(seen, 'X-Auth-User').length, 1);
      for (const one of ['X-Auth-Document-Id', 'X-Auth-User', 'X-Auth-Name', 'X-Auth-Provider']) {
        const values = named(seen, one);
        for (const value of values) assert.ok(!['mallory', 'root', 'X123', 'high'].includes(value), `${one}: ${value}`);
      }
      const open = await new Browser(gateway.url).fetch('/public/x', { headers: SPOOFED });
      assert.equal(open.status, 200, open.text);
      for (const [header, value] of open.json.headers) {
        if (header.toLowerCase().startsWith('x-auth-')) assert.equal(value, '', header);
      }
    });

    story('nor in a spelling that many applications take for the same', async () => {
      const answer = await browser.fetch('/x', { headers: ALIASES });
      if (name === 'envoy') return assert.equal(answer.status, 400);
      const aliases = answer.json.headers.filter(([header]) => header.includes('_'));
      return assert.deepEqual(aliases, []);
    });

    story('the application gets its own cookies and not ours', async () => {
      const headers = { Cookie: `theme=dark; ${session().Cookie}; midgate-login-x=y; a="1"`, Accept: 'text/plain' };
      assert.deepEqual(named((await byHand('/x', { headers })).json, 'Cookie'), ['theme=dark; a="1"']);
      const only = named((await byHand('/x', { headers: session() })).json, 'Cookie').join('');
      assert.equal(only, '');
    });

    story('programs get 401 and a login address, and the application is not asked', async () => {
      const nobody = new Browser(gateway.url);
      const asked = application.requests.length;
      const answer = await nobody.fetch('/x');
      assert.deepEqual([answer.status, answer.json.error], [401, 'login_required'], answer.text);
      assert.ok(answer.json.login_url.startsWith(`${gateway.url}/.midgate/login`));
      assert.match(answer.header('www-authenticate') ?? '', /^Bearer realm="midgate"/);
      const post = await nobody.fetch('/x', { method: 'POST', body: 'a=1' });
      assert.equal(post.status, 401);
      assert.equal(application.requests.length, asked);
    });

    story('methods and bodies go up as they are', async () => {
      const seen = (await browser.fetch('/x/post?q', { method: 'POST', body: 'a=1&b=2' })).json;
      assert.deepEqual([seen.method, seen.target, seen.bytes], ['POST', '/x/post?q', 7]);
    });

    story('a level that is not reached is a step-up', async () => {
      const program = await browser.fetch('/admin/x');
      assert.equal(program.status, 401);
      assert.match(program.header('www-authenticate'), /insufficient_user_authentication.*acr_values="high"/);
      const stronger = browser.twin();
      const page = await stronger.visit('/admin/x');
      assert.deepEqual([page.status, page.url], [200, `${gateway.url}/admin/x`], page.text);
      assert.deepEqual(named(page.json, 'X-Auth-Acr'), ['high']);
      // A login makes a new session, and the old one ends.
      browser = stronger;
    });

    story('what two servers could read differently never arrives', async () => {
      const asked = application.requests.length;
      const targets = ['/public/..;/admin/x', '/public/%2e%2e%2fadmin/x', '/public/..%2fadmin/x', '/public/%252e%252e/admin/x',
        '/public//../admin/x', '/public/%00', '/public/..%5cadmin/x', '/admin%2fx', '/public/%2e%2e;/admin/x'];
      for (const target of targets) {
        const answer = await byHand(target);
        assert.ok(answer.status >= 300, `${target}: ${answer.status}`);
      }
      // What the proxy itself tidies up is decided as what it will route on, or refused.
      for (const target of ['/public/../admin/x', '/public/%2e%2e/admin/x', '//admin/x', '/%61dmin/x', '/admin%3f/public/']) {
        const answer = await byHand(target);
        assert.ok(answer.status >= 300, `${target}: ${answer.status}`);
      }
      assert.deepEqual(application.requests.slice(asked), []);
    });

    story('a description of the client is none', async () => {
      const lies = { 'X-Original-URL': `${gateway.url}/public/x`, 'X-Original-Method': 'GET', 'X-Forwarded-Uri': '/public/x' };
      Object.assign(lies, { 'X-Forwarded-Method': 'OPTIONS', 'X-Forwarded-Host': 'evil.test', 'X-Forwarded-Proto': 'https' });
      for (const [header, value] of Object.entries(lies)) {
        const answer = await byHand('/x', { headers: { [header]: value } });
        assert.ok([400, 401, 500].includes(answer.status), `${header}: ${answer.status}`);
      }
      assert.ok([400, 401, 500].includes((await byHand('/x', { headers: lies })).status));
    });

    story('browsers cannot ask the endpoint themselves', async () => {
      for (const target of ['/.midgate/auth', '/.midgate/auth/public/x', '/.midgate/%61uth', '/.midgate//auth', '/_midgate']) {
        const headers = { ...session(), 'X-Original-URL': `${gateway.url}/public/x`, 'X-Original-Method': 'GET' };
        const answer = await byHand(target, { headers });
        assert.equal(answer.header('x-auth-user'), undefined, target);
        assert.equal(answer.header('x-auth-name'), undefined, target);
        assert.ok(answer.status === 404 || answer.status === 400 || target === '/_midgate', `${target}: ${answer.status}`);
      }
    });

    story('a WebSocket is not forwarded where the route does not say so', async () => {
      const asked = application.requests.length;
      const headers = { ...session(), Connection: 'Upgrade', Upgrade: 'websocket', Origin: gateway.url };
      Object.assign(headers, { 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==' });
      assert.equal((await byHand('/ws', { headers })).status, 403);
      assert.equal(application.requests.length, asked);
    });

    story('a sign-out ends it', async () => {
      assert.ok(await isSignedIn(browser));
      const before = session();
      const page = await browser.visit('/.midgate/logout');
      await browser.follow(await browser.submit(page));
      assert.equal((await byHand('/x', { headers: { ...before, Accept: 'application/json' } })).status, 401);
    });

    story('without midgate nobody passes', async () => {
      await gateway.kill();
      const asked = application.requests.length;
      const answer = await byHand('/public/x');
      assert.ok(answer.status >= 500, `${answer.status}`);
      assert.equal(application.requests.length, asked);
    });
  });
}
