// Other proxies that ask midgate, each run on the very files of deploy/examples with only addresses and TLS changed.

import { chownSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { send } from './http.mjs';
import { Child, atEnd, folder } from './process.mjs';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
// Programs that are no packages of the distribution: tests/setup.sh proxies.
const FETCHED = path.join(ROOT, 'tests/real/.proxies');
const NOBODY = process.getuid() === 0 ? { uid: 65534, gid: 65534 } : {};

// A file of an example; every change must meet its text, so that none goes stale.
export function example(name, changes = []) {
  let text = readFileSync(path.join(ROOT, 'deploy/examples', name), 'utf8');
  for (const [from, to] of changes) {
    const changed = text.replaceAll(from, () => to);
    if (changed === text) throw new Error(`${name} holds no ${from}`);
    text = changed;
  }
  return text;
}

// Where a program is, if it is on this machine.
export function program(name) {
  const fetched = { envoy: 'envoy/_bin', traefik: 'bin' }[name];
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/local/sbin'];
  if (fetched) folders.push(path.join(process.env.MIDGATE_PROXIES ?? FETCHED, fetched));
  return folders.map((found) => path.join(found, name)).find((file) => existsSync(file));
}

// How each proxy is made of its example: files by name, and the command that runs it.
const MAKES = {
  nginx: ({ port, asked, up }) => ({
    files: {
      'midgate.conf': example('nginx/midgate.conf', [
        ['listen 443 ssl;', `listen 127.0.0.1:${port};`],
        [/ *ssl_certificate.*\n/g, ''],
        ['app.example.ch', 'localhost'],
        ['127.0.0.1:8080', `127.0.0.1:${asked}`],
        ['127.0.0.1:3000', `127.0.0.1:${up}`],
      ]),
      'nginx.conf': `daemon off;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${name};`).join(' ')}
  access_log off;
  include midgate.conf;
}
`,
    },
    given: (made) => ['-p', `${made}/`, '-c', 'nginx.conf', '-e', 'stderr'],
    last: 'SIGTERM',
  }),
  caddy: ({ port, asked, up }) => ({
    files: {
      Caddyfile: `{\n\tadmin off\n\tauto_https off\n}\n${example('caddy/Caddyfile', [
        ['\napp.example.ch {', `\nhttp://localhost:${port} {`],
        ['127.0.0.1:8080', `127.0.0.1:${asked}`],
        ['127.0.0.1:3000', `127.0.0.1:${up}`],
      ])}`,
    },
    given: (made) => ['run', '--adapter', 'caddyfile', '--config', path.join(made, 'Caddyfile')],
    last: 'SIGKILL',
  }),
  traefik: ({ port, asked, up, made }) => ({
    files: {
      'traefik.yaml': example('traefik/traefik.yaml', [
        [':443', `127.0.0.1:${port}`],
        ['/etc/traefik/dynamic.yaml', path.join(made, 'dynamic.yaml')],
      ]),
      'dynamic.yaml': example('traefik/dynamic.yaml', [
        ['app.example.ch', 'localhost'],
        [/ *tls: \{\}\n/g, ''],
        ['127.0.0.1:8080', `127.0.0.1:${asked}`],
        ['127.0.0.1:3000', `127.0.0.1:${up}`],
      ]),
    },
    given: (folder) => [`--configFile=${path.join(folder, 'traefik.yaml')}`],
    last: 'SIGKILL',
  }),
  envoy: ({ port, asked, up }) => ({
    files: {
      'envoy.yaml': example('envoy/envoy.yaml', [
        ['address: 0.0.0.0, port_value: 443', `address: 127.0.0.1, port_value: ${port}`],
        ['domains: [app.example.ch]', `domains: ["localhost:${port}"]`],
        [/ {10}transport_socket:\n( {12}.*\n)+/g, ''],
        ['address: 127.0.0.1, port_value: 8080', `address: 127.0.0.1, port_value: ${asked}`],
        ['http://127.0.0.1:8080', `http://127.0.0.1:${asked}`],
        ['address: 127.0.0.1, port_value: 3000', `address: 127.0.0.1, port_value: ${up}`],
      ]),
    },
    given: (made) => ['-c', path.join(made, 'envoy.yaml'), '--disable-hot-restart', '--concurrency', '1'],
    last: 'SIGKILL',
  }),
};

// Runs a proxy at a port, before an application at `up`, with midgate asked at `asked`.
export async function outer(name, { port, asked, up }) {
  const made = folder();
  const { files, given, last } = MAKES[name]({ port, asked, up, made });
  for (const [file, text] of Object.entries(files)) writeFileSync(path.join(made, file), text);
  const asNobody = name === 'nginx' ? NOBODY : {};
  if (asNobody.uid) chownSync(made, asNobody.uid, asNobody.gid);
  const env = { ...process.env, HOME: made, XDG_DATA_HOME: made, XDG_CONFIG_HOME: made };
  const child = new Child(name, last, program(name), given(made), { cwd: made, env, ...asNobody });
  atEnd(() => child.kill());
  const knock = () => send({ port, host: `localhost:${port}`, target: '/.midgate/auth' }).catch(() => undefined);
  // Traefik answers 404 to everything until it has read its routes.
  await child.ready(`${name} answers`, async () => (await knock()) !== undefined);
  const probe = () => send({ port, host: `localhost:${port}`, target: '/.midgate/session' });
  await child.ready(`${name} knows its routes`, async () => (await probe()).status === 401);
}
