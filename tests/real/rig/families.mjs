// Servers of three families before which the gateway stands: each listens once per route and tells how it read a request.

import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';

import { send } from './http.mjs';
import { Nginx } from './nginx.mjs';
import { Child, atEnd, freePort } from './process.mjs';

const WSGI = fileURLToPath(new URL('./wsgi.py', import.meta.url));

// What each family tells: the port that was asked, the target as it came, the paths that it makes of that, all fields.
export const FAMILIES = { nginx, node, wsgi };

async function ports(routes) {
  return Object.fromEntries(await Promise.all(routes.map(async (route) => [route, await freePort()])));
}

// nginx decodes, merges slashes and resolves dots before it chooses a location.
async function nginx(routes) {
  const at = await ports(routes);
  const listens = Object.values(at).map((port) => `listen 127.0.0.1:${port};`);
  const read = ['x_auth_user', 'x_auth_name', 'x_auth_acr', 'remote_user', 'x_midgate_route', 'x_harmless'];
  const told = ['$server_port', '$request_uri', '$uri', ...read.map((name) => `$http_${name}`)].join('\\n');
  await Nginx.start(`
    ${listens.join(' ')}
    ignore_invalid_headers off;
    location / { default_type text/plain; return 200 "${told}"; }
  `);
  const parse = (body) => {
    const [port, target, uri, ...values] = body.split('\n');
    return { port: Number(port), target, paths: [uri], fields: Object.fromEntries(read.map((name, i) => [name, values[i]])) };
  };
  return { at, parse };
}

// An application on Node.js that reads its address as browsers do.
async function node(routes) {
  const at = await ports(routes);
  for (const port of Object.values(at)) {
    const server = createServer((request, response) => {
      const read = new URL(request.url, 'http://x').pathname;
      const told = { port, target: request.url, paths: [read, loose(read)], fields: pairs(request.rawHeaders) };
      response.end(JSON.stringify(told));
    });
    await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
    atEnd(() => {
      server.closeAllConnections?.();
      server.close();
    });
  }
  return { at, parse: JSON.parse };
}

// WSGI hands a decoded path to the application, and field names in which `-` and `_` are the same.
async function wsgi(routes) {
  const at = await ports(routes);
  const child = new Child('wsgi', 'SIGKILL', '/usr/bin/python3', [WSGI, ...Object.values(at).map(String)]);
  atEnd(() => child.kill());
  await child.ready('the WSGI server answers', async () => {
    const asked = Object.values(at).map((port) => send({ port, target: '/' }));
    return Promise.all(asked).catch(() => undefined);
  });
  return { at, parse: JSON.parse };
}

// Decoded where it can be.
function loose(path) {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

function pairs(raw) {
  const found = {};
  for (let i = 0; i < raw.length; i += 2) found[`${raw[i]}#${i}`] = raw[i + 1];
  return found;
}
