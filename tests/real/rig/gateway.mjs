// The real gateway as a child process, seen by browsers as http://localhost:<port>.

import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { send } from './http.mjs';
import { Child, atEnd, folder, freePort } from './process.mjs';

const BUILT = fileURLToPath(new URL('../../../target/debug/midgate', import.meta.url));
const BINARY = process.env.MIDGATE_BIN ?? BUILT;

export class Gateway {
  // A gateway that does not run yet, so that others can learn its address first.
  static async place() {
    const gateway = new Gateway();
    gateway.folder = folder();
    [gateway.port, gateway.healthPort] = [await freePort(), await freePort()];
    gateway.url = `http://localhost:${gateway.port}`;
    atEnd(() => gateway.kill());
    return gateway;
  }

  // A file of its folder.
  file(name) {
    return path.join(this.folder, name);
  }

  // Writes the configuration, which follows `public_url` and `[listen]`, and starts the process.
  async start(config) {
    const top = `public_url = "${this.url}"\n`;
    const listen = `[listen]\naddress = ["127.0.0.1:${this.port}"]\nhealth = "127.0.0.1:${this.healthPort}"\n`;
    writeFileSync(this.file('gateway.toml'), `${top}${listen}${config}`);
    await this.run();
  }

  async run() {
    if (!existsSync(BINARY)) throw new Error(`no binary at ${BINARY}: run cargo build, or set MIDGATE_BIN`);
    this.child = new Child('midgate', 'SIGKILL', BINARY, ['run', '--config', this.file('gateway.toml')]);
    await this.child.ready('the gateway is ready', async () => (await this.health('/readyz')) === 200);
  }

  // The status that the health listener answers; 0 when nobody answers.
  async health(target) {
    try {
      return (await send({ port: this.healthPort, target })).status;
    } catch {
      return 0;
    }
  }

  // Ends the process without warning.
  async kill() {
    await this.child?.kill();
  }

  async restart() {
    await this.kill();
    await this.run();
  }
}
