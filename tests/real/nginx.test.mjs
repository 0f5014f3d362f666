// The distribution's nginx as the application's server behind the real gateway.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { after, before, describe } from 'node:test';

import { Application, Browser, Certified, Gateway, Nginx, ask, head, isSignedIn, named, send } from './rig.mjs';
import { signedIn, stopAll, story, toml, until, whole } from './rig.mjs';

const MIB = 1 << 20;
const LARGE = 50 * MIB;

// What nginx itself reads, in its own variables, which take `-` and `_` in a header's name for the same.
const READS = ['http_x_auth_user', 'http_x_auth_name', 'http_x_auth_provider', 'http_remote_user', 'http_cookie'];
const READ = `{"request_uri":"$request_uri","uri":"$uri",${READS.map((name) => `"${name}":"$${name}"`).join(',')}}`;

const locations = (up) => `
    location / { root tree; }
    location /read/ { default_type application/json; return 200 '${READ}'; }
    location /cookies/ {
      add_header Set-Cookie "app=1; Path=/";
      add_header Set-Cookie "midgate=planted; Path=/";
      add_header X-Auth-User "planted";
      return 200 'ok';
    }
    location /app/ {
      proxy_pass http://127.0.0.1:${up};
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_buffering off;
    }
    location /small/ { client_max_body_size 1k; root tree; }
    location /brief/ { keepalive_requests 3; root tree; try_files /hello.txt =404; }
`;

const routes = (nginx) => `
[[route]]
upstream = "http://127.0.0.1:${nginx.port}"
[[route]]
path = "/open/"
upstream = "http://127.0.0.1:${nginx.port}"
access = "public"
strip_prefix = true
`;

describe('nginx behind the gateway', () => {
  let application;
  let nginx;
  let gateway;
  let provider;
  let browser;
  const large = randomBytes(LARGE);
  const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');

  before(async () => {
    application = await Application.start();
    nginx = await Nginx.start(locations(application.port));
    nginx.publish('hello.txt', 'hello from a file\n');
    nginx.publish('Zoë & co.txt', 'a name to be escaped\n');
    nginx.publish('large.bin', large);
    gateway = await Gateway.place();
    provider = await Certified.start(gateway.url);
    await gateway.start(toml(provider) + routes(nginx));
    browser = await signedIn(gateway, '/hello.txt');
  });
  after(stopAll);

  // What nginx has been asked since `begun` of its log's lines.
  const since = async (begun) => (await nginx.requests()).slice(begun);
  const session = () => ({ Cookie: `midgate=${browser.jar.find('midgate').value}` });
  // A request on a session by hand, for what a browser would not do.
  const byHand = (rest) => ({ port: gateway.port, ...rest, headers: { ...session(), ...rest.headers } });

  story('is out of reach without a session', async () => {
    const begun = (await nginx.requests()).length;
    const nobody = new Browser(gateway.url);
    for (const target of ['/hello.txt', '/%68ello.txt', '/hello.txt;a=b', '/none', '/app/echo']) {
      assert.equal((await nobody.fetch(target)).status, 401, target);
    }
    assert.deepEqual(await since(begun), []);
    assert.equal((await nobody.fetch('/open/hello.txt')).text, 'hello from a file\n');
  });

  story('serves files: whole, in part, by head only, and as unchanged', async () => {
    const file = await browser.fetch('/hello.txt');
    assert.deepEqual([file.status, file.text], [200, 'hello from a file\n']);
    const part = await browser.fetch('/hello.txt', { headers: { Range: 'bytes=6-9' } });
    assert.deepEqual([part.status, part.text, part.header('content-range')], [206, 'from', 'bytes 6-9/18']);
    const bare = await browser.fetch('/hello.txt', { method: 'HEAD' });
    assert.deepEqual([bare.status, bare.header('content-length'), bare.body.length], [200, '18', 0]);
    const same = await browser.fetch('/hello.txt', { headers: { 'If-None-Match': file.header('etag') } });
    assert.deepEqual([same.status, same.body.length], [304, 0]);
    const none = await browser.fetch('/none');
    assert.equal(none.status, 404);
    assert.match(none.text, /nginx/, 'the answer is its own');
    assert.equal((await browser.fetch('/Zo%C3%AB%20&%20co.txt')).text, 'a name to be escaped\n');
  });

  story('reads the identity, also where `-` and `_` are the same', async () => {
    const names = ['X_Auth_User', 'X-Auth_Name', 'x-auth-provider', 'Remote_User'];
    const spoofed = Object.fromEntries(names.map((name) => [name, 'mallory']));
    const seen = (await browser.fetch('/read/x', { headers: spoofed })).json;
    const { user_key: key } = (await browser.fetch('/.midgate/session')).json;
    assert.equal(seen.http_x_auth_user, key);
    assert.equal(seen.http_x_auth_name, 'Zoë Müller-François');
    assert.equal(seen.http_x_auth_provider, 'op');
    assert.equal(seen.http_remote_user, '');
    const open = (await browser.fetch('/open/read/x', { headers: spoofed })).json;
    for (const name of READS) assert.equal(open[name], '', name);
  });

  story('passes each identity header on exactly once', async () => {
    const spoofed = { 'X-Auth-User': ['a', 'b'], X_Auth_User: ['c', 'd'], 'X_AUTH-NAME': 'e', 'X-Auth-Other': 'f' };
    const seen = (await browser.fetch('/app/echo', { headers: spoofed })).json;
    const names = seen.headers.map(([name]) => name.toLowerCase().replaceAll('_', '-'));
    const ours = names.filter((name) => name.startsWith('x-auth-')).sort();
    assert.deepEqual(ours, ['x-auth-acr', 'x-auth-name', 'x-auth-provider', 'x-auth-user']);
    assert.deepEqual(named(seen, 'X-Auth-Name'), ['Zoë Müller-François']);
  });

  story('never sees our cookie, and all others as they were', async () => {
    const cookie = `a=1; midgate-login-x=y; odd="b c"; ${session().Cookie}; =z`;
    const seen = (await send(byHand({ target: '/app/echo', headers: { Cookie: cookie } }))).json;
    assert.deepEqual(named(seen, 'Cookie'), ['a=1; odd="b c"; =z']);
  });

  story('can set its own cookies, but not ours', async () => {
    const answer = await browser.fetch('/cookies/x');
    assert.deepEqual(answer.all('set-cookie'), ['app=1; Path=/']);
    assert.ok(await isSignedIn(browser));
  });

  story('gets the path byte for byte as it was decided on', async () => {
    for (const target of [
      '/read/a%20b/%C3%A9?x=%2F&y=a+b&&z',
      '/read/y;jsessionid=1/x;v=2?q;r',
      '/read/%7euser/~user/%2D-',
      "/read/!$&'()*+,=:@/x",
      '/read/x?',
      '/read/x??a=/../b//c',
    ]) {
      assert.equal((await send(byHand({ target }))).json.request_uri, target);
    }
    assert.equal((await send(byHand({ target: '/%72ead/x' }))).json.uri, '/read/x');
  });

  story('never gets a path that the two could read differently', async () => {
    const begun = (await nginx.requests()).length;
    for (const target of [
      '/open/../hello.txt',
      '/open/%2e%2e/hello.txt',
      '/open/.%2E/hello.txt',
      '/open/..;/hello.txt',
      '/open/..%2fhello.txt',
      '/open/..%5chello.txt',
      '/open/..\\hello.txt',
      '/open//hello.txt',
      '//hello.txt',
      '/open/./hello.txt',
      '/open/%00hello.txt',
      '/open/x#/../hello.txt',
      '/open/%252e%252e/hello.txt',
    ]) {
      assert.equal((await send(byHand({ target }))).status, 400, target);
    }
    assert.deepEqual(await since(begun), []);
  });

  story('takes an upload of 50 MiB while it is still being sent', async () => {
    application.received = 0;
    const request = ask(byHand({ method: 'POST', target: '/app/upload', headers: { 'Content-Length': LARGE } }));
    const answer = head(request);
    request.write(large.subarray(0, MIB));
    await until('the first bytes are there', () => application.received > 0);
    assert.ok(application.received <= MIB);
    request.end(large.subarray(MIB));
    const { bytes, sha256 } = (await whole(await answer)).json;
    assert.deepEqual([bytes, sha256], [LARGE, digest(large)]);
  });

  story('takes an upload of unknown length', async () => {
    const request = ask(byHand({ method: 'PUT', target: '/app/upload', headers: { 'Transfer-Encoding': 'chunked' } }));
    const answer = head(request);
    for (let at = 0; at < 8 * MIB; at += MIB) request.write(large.subarray(at, at + MIB));
    request.end();
    const { bytes, sha256 } = (await whole(await answer)).json;
    assert.deepEqual([bytes, sha256], [8 * MIB, digest(large.subarray(0, 8 * MIB))]);
  });

  story('gives a download of 50 MiB whole, several at a time', async () => {
    const files = await Promise.all([1, 2, 3].map(() => browser.fetch('/large.bin')));
    for (const file of files) {
      assert.deepEqual([file.status, file.body.length, digest(file.body)], [200, LARGE, digest(large)]);
    }
  });

  story('gives the first half of an answer before there is a second', async () => {
    const request = ask(byHand({ target: '/app/halves' }));
    const answer = head(request);
    request.end();
    const response = await answer;
    const [first] = await once(response, 'data');
    assert.equal(first.toString(), 'first half,');
    application.release();
    assert.equal((await whole(response)).text, 'second half');
  });

  story('may refuse an upload before it is sent, in its own words', async () => {
    const request = ask(byHand({ method: 'POST', target: '/small/x', headers: { 'Content-Length': LARGE } }));
    const answer = head(request);
    request.on('error', () => {});
    request.write(large.subarray(0, MIB));
    const refusal = await whole(await answer);
    request.destroy();
    assert.equal(refusal.status, 413);
    assert.match(refusal.text, /nginx/);
  });

  story('is not kept busy by an upload that breaks off', async () => {
    application.received = 0;
    const request = ask(byHand({ method: 'POST', target: '/app/upload', headers: { 'Content-Length': LARGE } }));
    request.on('error', () => {});
    request.write(large.subarray(0, MIB));
    await until('the first bytes are there', () => application.received > 0);
    request.destroy();
    await until('the application knows', () => application.brokenOff === 1);
    assert.equal((await browser.fetch('/hello.txt')).status, 200);
  });

  story('is spoken to on connections that are kept, as browsers are', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const sockets = new Set();
    const before = await nginx.requests();
    for (let n = 0; n < 20; n += 1) {
      const request = ask(byHand({ target: '/hello.txt', agent }));
      request.once('socket', (socket) => sockets.add(socket));
      const answer = head(request);
      request.end();
      assert.equal((await whole(await answer)).status, 200);
    }
    agent.destroy();
    assert.equal(sockets.size, 1);
    const known = new Set(before.map(({ connection }) => connection));
    const asked = await since(before.length);
    assert.equal(asked.length, 20);
    const made = new Set(asked.map(({ connection }) => connection).filter((connection) => !known.has(connection)));
    assert.ok(made.size <= 1, `${made.size} new connections for 20 requests`);
  });

  story('may end a kept connection whenever it likes', async () => {
    const begun = (await nginx.requests()).length;
    for (let n = 0; n < 20; n += 1) assert.equal((await browser.fetch('/brief/x')).status, 200);
    const connections = new Set((await since(begun)).map(({ connection }) => connection));
    assert.ok(connections.size >= 6, `${connections.size} connections of three requests each`);
  });

  story('may read its configuration again, and nobody loses an answer', async () => {
    for (let n = 0; n < 60; n += 1) {
      if (n % 20 === 10) nginx.reload();
      assert.equal((await browser.fetch('/hello.txt')).status, 200, `request ${n}`);
    }
  });

  story('that dies in the middle of an answer never looks like its end', async () => {
    const request = ask(byHand({ target: '/app/halves' }));
    const answer = head(request);
    request.end();
    const response = await answer;
    await once(response, 'data');
    await nginx.stop();
    await assert.rejects(whole(response), { code: 'ECONNRESET' });
    application.release();
    await nginx.run();
  });

  story('that dies over a POST is a 502, and the POST is not sent again', async () => {
    application.requests.length = 0;
    const request = ask(byHand({ method: 'POST', target: '/app/never', headers: { 'Content-Length': 3 } }));
    const answer = head(request);
    request.end('a=1');
    await until('it is there', () => application.requests.length === 1);
    await nginx.stop();
    await nginx.run();
    const response = await whole(await answer);
    assert.equal(response.status, 502);
    assert.deepEqual(application.requests, ['POST /app/never']);
  });

  story('that is stopped is a 502 page, and 200 once it is up again', async () => {
    await nginx.stop();
    const page = await browser.open('/hello.txt');
    assert.equal(page.status, 502);
    assert.match(page.header('content-type'), /^text\/html/);
    const program = await browser.fetch('/hello.txt');
    assert.deepEqual([program.status, program.json.error], [502, 'upstream_failed']);
    assert.equal((await new Browser(gateway.url).fetch('/hello.txt')).status, 401, 'who may enter is still decided');
    await nginx.run();
    assert.equal((await browser.fetch('/hello.txt')).text, 'hello from a file\n');
    const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
    assert.equal((await browser.fetch('/app/echo', { method: 'POST', headers: form, body: 'a=1' })).json.bytes, 3);
  });
});
