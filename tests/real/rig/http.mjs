// HTTP/1.1 as the stories need it: targets byte for byte, headers in order, answers read whole.

import http from 'node:http';

// An answer with its body, whatever its status.
export class Answer {
  constructor(status, rawHeaders, body) {
    this.status = status;
    this.headers = [];
    for (let at = 0; at < rawHeaders.length; at += 2) this.headers.push([rawHeaders[at], rawHeaders[at + 1]]);
    this.body = body;
  }

  all(name) {
    return this.headers.filter(([known]) => known.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
  }

  header(name) {
    return this.all(name)[0];
  }

  get text() {
    return this.body.toString('utf8');
  }

  get json() {
    try {
      return JSON.parse(this.text);
    } catch {
      throw new Error(`not JSON: ${this.status} ${this.text}`);
    }
  }

  get location() {
    return this.header('location');
  }
}

// Begins a request to a port on loopback; gives node's request, to be written and ended by the caller.
export function ask({ port, host = `localhost:${port}`, method = 'GET', target, headers = {}, agent = false }) {
  const request = http.request({ host: '127.0.0.1', port, method, path: target, agent, setHost: false });
  request.setHeader('Host', host);
  for (const [name, value] of Object.entries(headers)) request.setHeader(name, value);
  request.setTimeout(60_000, () => request.destroy(new Error(`no answer to ${method} ${target}`)));
  return request;
}

// Waits for the head of an answer.
export function head(request) {
  return new Promise((resolve, reject) => request.once('response', resolve).once('error', reject));
}

// Reads an answer to its end.
export async function whole(response) {
  const parts = [];
  for await (const part of response) parts.push(part);
  return new Answer(response.statusCode, response.rawHeaders, Buffer.concat(parts));
}

// Sends one request and reads one answer.
export async function send({ body, ...rest }) {
  const request = ask(rest);
  const answer = head(request);
  if (body !== undefined) request.setHeader('Content-Length', Buffer.byteLength(body));
  request.end(body);
  return whole(await answer);
}
