// Node.js's own HTTP/2 server as the application: what is spoken is chosen by ALPN.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createSecureServer } from 'node:http2';
import { after, before, describe } from 'node:test';

import { Gateway, ask, send, stopAll, story } from './rig.mjs';

describe('an application that speaks HTTP/2 over TLS', () => {
  let gateway;
  const servers = [];
  const seen = { sessions: 0, last: undefined };

  // Answers with the version that is spoken; one takes HTTP/2 only, the other HTTP/1.1 too.
  async function application(options) {
    const server = createSecureServer(options, (request, response) => {
      seen.last = { version: request.httpVersion, headers: request.rawHeaders, path: request.url };
      let bytes = 0;
      request.on('data', (chunk) => (bytes += chunk.length));
      request.on('end', () => response.end(`${request.httpVersion} ${bytes}`));
    });
    server.on('session', () => (seen.sessions += 1));
    server.on('upgrade', (request, socket) => {
      seen.last = { version: request.httpVersion, headers: request.rawHeaders, path: request.url };
      socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    servers.push(server);
    return server.address().port;
  }

  before(async () => {
    gateway = await Gateway.place();
    const [cert, key] = [gateway.file('ca.pem'), gateway.file('app.key')];
    const how = ['-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-keyout', key, '-out', cert];
    execFileSync('openssl', ['req', '-x509', ...how, '-addext', 'subjectAltName=DNS:localhost', '-addext', 'basicConstraints=critical,CA:FALSE'], { stdio: 'ignore' });
    const pair = { cert: readFileSync(cert), key: readFileSync(key) };
    const both = await application({ ...pair, allowHTTP1: true });
    const only = await application(pair);
    const upstream = (id, port) =>
      `[[upstream]]\nid = "${id}"\nservers = ["https://localhost:${port}"]\ntls = { ca_file = "${cert}" }\n` +
      `[[route]]\npath = "/${id}/"\nupstream = "${id}"\naccess = "public"\nwebsocket = true\n`;
    await gateway.start(upstream('both', both) + upstream('only', only));
  });
  after(async () => {
    for (const server of servers) server.close();
    await stopAll();
  });

  story('is spoken to in HTTP/2, many requests on one connection', async () => {
    for (const path of ['/both/', '/only/']) {
      seen.sessions = 0;
      for (let round = 0; round < 5; round += 1) {
        const answer = await send({ port: gateway.port, target: `${path}x?q=%2F`, headers: { Connection: 'close, X-Auth-User' } });
        assert.equal(answer.status, 200);
        assert.equal(answer.text, '2.0 0');
      }
      assert.equal(seen.sessions, 1);
      assert.equal(seen.last.path, `${path}x?q=%2F`);
      const names = seen.last.headers.filter((_, at) => at % 2 === 0);
      assert.ok(names.includes('x-forwarded-for'));
      for (const name of names) assert.ok(name === name.toLowerCase() && name !== 'connection', name);
    }
  });

  story('is spoken to in HTTP/1.1 where a WebSocket is asked for', async () => {
    const headers = {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      Origin: gateway.url,
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    };
    const request = ask({ port: gateway.port, target: '/both/ws', headers });
    request.end();
    const [answer, socket] = await once(request, 'upgrade');
    socket.destroy();
    assert.equal(answer.statusCode, 101);
    assert.equal(seen.last.version, '1.1');
  });
});
