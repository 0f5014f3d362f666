// Processes, folders and ports of the stories, and their end.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

const running = new Set();
const folders = new Set();
const endings = [];
const logs = [];

process.on('exit', () => {
  for (const child of running) child.kill();
  for (const made of folders) rmSync(made, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));

// Polls until something holds; gives what `holds` gave.
export async function until(what, holds, within = 15_000) {
  const deadline = Date.now() + within;
  for (;;) {
    const result = await holds();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`in vain waited until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// A port on loopback that is free now.
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

// A folder of its own, gone when the stories end.
export function folder() {
  const made = mkdtempSync(path.join(tmpdir(), 'midgate-real-'));
  folders.add(made);
  atEnd(() => {
    rmSync(made, { recursive: true, force: true });
    folders.delete(made);
  });
  return made;
}

// Has something done when the stories end, last things first.
export function atEnd(ending) {
  endings.push(async () => ending());
}

// Ends everything that was started, even where one thing does not end well.
export async function stopAll() {
  logs.length = 0;
  const errors = [];
  while (endings.length > 0) await endings.pop()().catch((error) => errors.push(error));
  if (errors.length > 0) throw errors[0];
}

// Has the log of something told when a story fails.
export function tells(name, text) {
  logs.push({ name, text, told: 0 });
}

// What was logged since the last `forget`.
export function troubles() {
  return logs.map(({ name, text, told }) => `--- log of ${name}\n${text().slice(told)}`).join('\n');
}

// What was logged so far belongs to other stories.
export function forget() {
  for (const log of logs) log.told = log.text().length;
}

// A child process with everything that it says; `last` is the signal that ends it and its own children at once.
export class Child {
  constructor(program, last, command, given, options = {}) {
    this.said = '';
    this.last = last;
    this.process = spawn(command, given, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    running.add(this);
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => (this.said += text));
    }
    this.ended = new Promise((resolve) => {
      const gone = (why) => {
        running.delete(this);
        this.end = why;
        resolve(why);
      };
      this.process.once('error', (error) => gone(error.message));
      this.process.once('close', (code, signal) => gone(`${signal ?? `code ${code}`}`));
    });
    tells(program, () => this.said);
  }

  // Waits until it is at work; fails at once when it has ended instead.
  async ready(what, holds) {
    await until(what, () => {
      if (this.end !== undefined) throw new Error(`in vain waited until ${what}: ended with ${this.end}\n${this.said}`);
      return holds();
    });
  }

  signal(name) {
    this.process.kill(name);
  }

  kill() {
    if (this.end === undefined) this.signal(this.last);
    return this.ended;
  }
}
