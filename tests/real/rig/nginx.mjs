// The distribution's nginx as an unprivileged child process with a folder of its own.

import { randomUUID } from 'node:crypto';
import { chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { send } from './http.mjs';
import { Child, atEnd, folder, freePort, until } from './process.mjs';

// nobody, where the stories are run by root: nginx would change its user otherwise.
const NOBODY = process.getuid() === 0 ? { uid: 65534, gid: 65534 } : {};

export class Nginx {
  // Starts nginx; `locations` is the inside of its only server.
  static async start(locations) {
    const nginx = new Nginx();
    nginx.folder = folder();
    nginx.port = await freePort();
    mkdirSync(nginx.file('tree'));
    writeFileSync(nginx.file('nginx.conf'), nginx.config(locations));
    for (const made of [nginx.folder, nginx.file('tree')]) if (NOBODY.uid) chownSync(made, NOBODY.uid, NOBODY.gid);
    atEnd(() => nginx.stop());
    await nginx.run();
    return nginx;
  }

  // A file of its folder.
  file(name) {
    return path.join(this.folder, name);
  }

  // Puts a file where `root tree;` finds it.
  publish(name, content) {
    writeFileSync(path.join(this.file('tree'), name), content);
  }

  config(locations) {
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
    return `
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
  ${temporary.map((name) => `${name}_temp_path ${name};`).join(' ')}
  log_format told escape=json '{"connection":$connection,"request":"$request","status":$status}';
  access_log access.log told;
  log_not_found off;
  underscores_in_headers on;
  client_max_body_size 0;
  server {
    listen 127.0.0.1:${this.port};
    ${locations}
  }
}
`;
  }

  async run() {
    const given = ['-p', `${this.folder}/`, '-c', 'nginx.conf', '-e', 'stderr'];
    this.child = new Child('nginx', 'SIGTERM', binary(), given, { cwd: this.folder, ...NOBODY });
    await this.child.ready('nginx answers', () => this.knock().catch(() => undefined));
  }

  // Ends master and workers at once.
  async stop() {
    await this.child.kill();
  }

  // Has the configuration read again: new workers take over, the old ones end.
  reload() {
    this.child.signal('SIGHUP');
  }

  // Asks it past the gateway; gives what its log will say of that.
  async knock() {
    const target = `/knock?${randomUUID()}`;
    await send({ port: this.port, target });
    return `GET ${target} HTTP/1.1`;
  }

  // What was asked of it through the gateway, the oldest first. Its log follows the answers a little later, in order.
  async requests() {
    const last = await this.knock();
    const read = () => readFileSync(this.file('access.log'), 'utf8');
    const log = await until('nginx has told everything', () => read().includes(last) && read());
    const lines = log.slice(0, log.lastIndexOf('\n')).split('\n');
    return lines.map((line) => JSON.parse(line)).filter(({ request }) => !request.startsWith('GET /knock?'));
  }
}

function binary() {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/local/sbin'];
  const found = folders.map((folder) => path.join(folder, 'nginx')).find((file) => existsSync(file));
  if (!found) throw new Error('nginx is not installed: tests/setup.sh nginx');
  return found;
}
