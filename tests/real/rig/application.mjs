// An application that tells what it got, remembers it, and can be slow on purpose.

import { createHash } from 'node:crypto';
import { createServer } from 'node:http';

import { atEnd } from './process.mjs';

export class Application {
  // Starts one on a free port.
  static async start() {
    const application = new Application();
    // Methods and targets, the oldest first.
    application.requests = [];
    // Requests that ended before their bodies did.
    application.brokenOff = 0;
    // Bytes of request bodies that have arrived so far.
    application.received = 0;
    application.server = createServer((request, response) => application.answer(request, response));
    await new Promise((resolve) => application.server.listen(0, '127.0.0.1', resolve));
    application.port = application.server.address().port;
    atEnd(() => application.stop());
    return application;
  }

  stop() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }

  // Lets answers to `…/halves` go on with their second half.
  release() {
    this.letGo();
  }

  async answer(request, response) {
    this.requests.push(`${request.method} ${request.url}`);
    if (request.url.endsWith('/halves')) return this.halves(response);
    if (request.url.endsWith('/never')) return undefined;
    const digest = createHash('sha256');
    let bytes = 0;
    try {
      for await (const part of request) {
        bytes += part.length;
        this.received += part.length;
        digest.update(part);
      }
    } catch {
      this.brokenOff += 1;
      return undefined;
    }
    const seen = { method: request.method, target: request.url, headers: pairs(request.rawHeaders), bytes };
    if (bytes > 0) seen.sha256 = digest.digest('hex');
    response.setHeader('Content-Type', 'application/json');
    return response.end(JSON.stringify(seen));
  }

  // Sends one half and holds the other back until it is released.
  async halves(response) {
    const released = new Promise((resolve) => (this.letGo = resolve));
    response.write('first half,');
    await released;
    response.end('second half');
  }
}

// Names and values in the order of the wire; node reads bytes as Latin-1, and the gateway writes UTF-8.
function pairs(raw) {
  const found = [];
  for (let at = 0; at < raw.length; at += 2) {
    found.push([raw[at], Buffer.from(raw[at + 1], 'latin1').toString('utf8')]);
  }
  return found;
}
